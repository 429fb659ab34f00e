//! A run as a picture in the terminal that changes as it goes on.

use std::io::{IsTerminal, Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};
use ratatui::{Frame, Terminal};

use crate::train::{History, interrupt, progress};

/// How often the bar moves at most.
const EVERY: Duration = Duration::from_millis(100);
/// Messages that are kept.
const MESSAGES: usize = 5;
/// Charts side by side or below each other, at most.
const CHARTS: usize = 6;
const COLOURS: [Color; 4] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta];

/// Whether a dashboard has the terminal.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether a dashboard has the terminal.
pub fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Gives the terminal back, where a dashboard has it.
pub fn leave() {
    if OPEN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone needs nothing back.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

/// What is shown.
#[derive(Clone, Default)]
struct View {
    steps: u64,
    done: u64,
    speed: String,
    history: History,
    messages: Vec<String>,
}

struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: View,
    drawn: Option<Instant>,
}

/// A dashboard on the terminal.
pub struct Dashboard(Mutex<Screen>);

impl Dashboard {
    /// Takes the terminal; `None` where the output is none, or another dashboard has it.
    pub fn open(steps: u64, done: u64) -> Option<Dashboard> {
        if !stdout().is_terminal() || OPEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // A panic's message belongs on the screen that stays.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                before(panic);
            }));
        });
        // Not the terminal's own `clear`, which asks for the cursor and waits for an answer.
        let entered = execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide);
        let Ok(terminal) = entered.and_then(|()| Terminal::new(CrosstermBackend::new(stdout()))) else {
            leave();
            return None;
        };
        let view = View { steps, done, ..View::default() };
        let dashboard = Dashboard(Mutex::new(Screen { terminal, view, drawn: None }));
        dashboard.screen().draw();
        Some(dashboard)
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more step.
    pub fn step(&self) {
        let mut screen = self.screen();
        screen.view.done += 1;
        if screen.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            screen.draw();
        }
    }

    /// How fast it goes.
    pub fn report(&self, speed: &str) {
        self.screen().view.speed = speed.to_owned();
    }

    /// All figures so far.
    pub fn chart(&self, history: &History) {
        let mut screen = self.screen();
        screen.view.history = history.clone();
        screen.draw();
    }

    /// A message.
    pub fn say(&self, text: &str) {
        let mut screen = self.screen();
        screen.view.messages.push(text.to_owned());
        let extra = screen.view.messages.len().saturating_sub(MESSAGES);
        screen.view.messages.drain(..extra);
        screen.draw();
    }

    /// Gives the terminal back, with the last messages and figures as text.
    pub fn close(&self) {
        let screen = self.screen();
        if is_open() {
            leave();
            let view = &screen.view;
            view.messages.iter().for_each(|message| println!("{message}"));
            println!("step {:>6}/{}  {}  {}", view.done, view.steps, progress::line(&view.latest()), view.speed);
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        leave();
    }
}

impl Screen {
    fn draw(&mut self) {
        if !is_open() {
            return;
        }
        self.drawn = Some(Instant::now());
        let view = &self.view;
        // A terminal that cannot be drawn on is no reason to stop training.
        let _ = self.terminal.draw(|frame| view.draw(frame));
    }
}

/// Figures of one kind, such as `loss` and `validation loss`.
struct Group<'a> {
    title: &'a str,
    names: Vec<&'a str>,
}

impl View {
    /// The last value of each figure.
    fn latest(&self) -> Vec<(String, f64)> {
        let last = |name: &String| Some((name.clone(), self.history.last(name)?));
        self.history.names().iter().filter_map(last).collect()
    }

    /// The figures that belong on one chart: those that differ in what stands before them.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group> = Vec::new();
        for name in self.history.names() {
            let kind =
                ["validation ", "test ", "training "].iter().find_map(|of| name.strip_prefix(of)).unwrap_or(name);
            match groups.iter_mut().find(|group| group.title == kind) {
                Some(group) => group.names.push(name),
                None => groups.push(Group { title: kind, names: vec![name] }),
            }
        }
        groups.truncate(CHARTS);
        groups
    }

    fn draw(&self, frame: &mut Frame) {
        let messages = self.messages.len() as u16;
        let said = if messages == 0 { 0 } else { messages + 2 };
        let parts = [Constraint::Length(3), Constraint::Min(6), Constraint::Length(said)];
        let [top, middle, bottom] = Layout::vertical(parts).areas(frame.area());
        self.draw_progress(frame, top);
        let groups = self.groups();
        let columns = if groups.len() < 2 || middle.width < 80 { 1 } else { 2 };
        let rows = groups.len().div_ceil(columns).max(1);
        let lines = Layout::vertical(vec![Constraint::Fill(1); rows]).split(middle);
        for (row, groups) in groups.chunks(columns).enumerate() {
            let cells = Layout::horizontal(vec![Constraint::Fill(1); groups.len()]).split(lines[row]);
            for (group, cell) in groups.iter().zip(cells.iter()) {
                self.draw_chart(frame, *cell, group);
            }
        }
        if messages > 0 {
            let lines: Vec<Line> = self.messages.iter().map(|message| Line::raw(message.as_str())).collect();
            frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" messages ")), bottom);
        }
    }

    fn draw_progress(&self, frame: &mut Frame, area: Rect) {
        let share = if self.steps == 0 { 1.0 } else { (self.done as f64 / self.steps as f64).min(1.0) };
        let state = if interrupt::requested() { "stopping; Ctrl-C again to stop at once" } else { &self.speed };
        let label = format!("{}/{}  {:.0} %  {state}", self.done, self.steps, 100.0 * share);
        let gauge = Gauge::default().block(Block::bordered().title(" training ")).ratio(share).label(label);
        frame.render_widget(gauge.gauge_style(Style::new().fg(Color::Blue)), area);
    }

    fn draw_chart(&self, frame: &mut Frame, area: Rect, group: &Group) {
        let finite = |name: &&str| -> Vec<(f64, f64)> {
            self.history.series(name).into_iter().filter(|(_, value)| value.is_finite()).collect()
        };
        let lines: Vec<Vec<(f64, f64)>> = group.names.iter().map(finite).collect();
        let colour = |i: usize| COLOURS[i % COLOURS.len()];
        let mut title = vec![Span::raw(" ")];
        for (i, name) in group.names.iter().enumerate() {
            let last = self.history.last(name).unwrap_or(f64::NAN);
            title.push(Span::raw(progress::line(&[((*name).to_owned(), last)]) + " ").fg(colour(i)));
        }
        let [x, y] = [0, 1].map(|axis| bounds(lines.iter().flatten().map(|p| if axis == 0 { p.0 } else { p.1 })));
        let datasets = lines.iter().enumerate().map(|(i, points)| {
            let style = Style::new().fg(colour(i));
            Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(style).data(points)
        });
        let ends = |[low, high]: [f64; 2]| [low, high].map(|end| Span::raw(short(end)));
        let chart = Chart::new(datasets.collect())
            .block(Block::bordered().title(Line::from(title)))
            .x_axis(Axis::default().bounds(x).labels(ends(x)))
            .y_axis(Axis::default().bounds(y).labels(ends(y)));
        frame.render_widget(chart, area);
    }
}

/// From the smallest to the largest, and not empty.
fn bounds(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
    if low > high {
        [0.0, 1.0]
    } else if low == high {
        [low - 0.5, high + 0.5]
    } else {
        [low, high]
    }
}

fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size != 0.0 && !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        _ if size < 10.0 => format!("{value:.3}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>() + "\n";
        (0..height).map(row).collect()
    }

    fn view() -> View {
        let mut history = History::new();
        for step in 1..=40u64 {
            let t = step as f64;
            history.push(
                10 * step,
                t,
                &[("loss", 2.3 * (-t / 9.0).exp() + 0.1), ("accuracy", 1.0 - 0.9 * (-t / 7.0).exp())],
            );
            if step % 4 == 0 {
                let figures = [("validation loss", 2.3 * (-t / 11.0).exp() + 0.2), ("validation accuracy", f64::NAN)];
                history.push(10 * step, t, &figures);
            }
        }
        View {
            steps: 500,
            done: 400,
            speed: "12.0 steps/s  0:08 left".into(),
            history,
            messages: vec!["resumed".into()],
        }
    }

    #[test]
    fn progress_curves_and_messages_are_on_the_screen() {
        let text = drawn(&view(), 100, 30);
        println!("{text}");
        for part in [
            "400/500  80 %  12.0 steps/s  0:08 left",
            "loss 0.1270",
            "validation loss 0.2606",
            "validation accuracy NaN",
            "resumed",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        // Both curves start high and end low: dots in the upper left and the lower right of the first chart.
        let dots = |line: &str| line.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(text.lines().map(dots).sum::<usize>() > 40, "{text}");
    }

    #[test]
    fn small_terminals_and_empty_histories_are_drawn_too() {
        for (width, height) in [(1, 1), (20, 5), (60, 12), (200, 60)] {
            for view in [View::default(), view()] {
                assert_eq!(drawn(&view, width, height).lines().count(), usize::from(height));
            }
        }
    }
}
