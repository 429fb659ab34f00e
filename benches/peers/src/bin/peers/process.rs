//! An engine's process and the talk with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// A running engine. It ends with this value.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    replies: Receiver<Value>,
    log: PathBuf,
}

impl Process {
    /// Starts an engine in `folder`, where it also has its caches and its log.
    ///
    /// # Errors
    /// A text on why it did not start.
    pub fn start(mut command: Command, folder: &Path, log: &str) -> Result<Process, String> {
        let log = folder.join(format!("{log}.log"));
        let show = |e: std::io::Error| format!("could not start: {e}");
        std::fs::create_dir_all(folder).map_err(show)?;
        command
            .current_dir(folder)
            .env("XDG_CACHE_HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(show)?);
        let mut child = command.spawn().map_err(show)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".into());
        };
        let (send, replies) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let reply = line.strip_prefix("@ ").and_then(|text| serde_json::from_str(text).ok());
                // What libraries print is no reply. Nobody listens any more where sending fails.
                if reply.is_some_and(|reply| send.send(reply).is_err()) {
                    return;
                }
            }
        });
        Ok(Process { child, stdin, replies, log })
    }

    /// The next reply.
    ///
    /// # Errors
    /// A text on what happened to the engine; it has ended then.
    pub fn reply(&mut self, limit: Duration) -> Result<Value, String> {
        let end = match self.replies.recv_timeout(limit) {
            Ok(reply) => return Ok(reply),
            Err(RecvTimeoutError::Timeout) => {
                // It may have ended just now.
                let _ = self.child.kill();
                format!("no answer in {} s", limit.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => "ended".into(),
        };
        let status = self.child.wait().map(|status| status.to_string()).unwrap_or_default();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err([end, status, last.into()].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("; "))
    }

    /// Gives a command and waits for its reply.
    ///
    /// # Errors
    /// See [`Process::reply`].
    pub fn ask(&mut self, command: &str, limit: Duration) -> Result<Value, String> {
        // A write fails where the engine has ended, which the reply tells better.
        let _ = writeln!(self.stdin, "{command}").and_then(|()| self.stdin.flush());
        self.reply(limit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
