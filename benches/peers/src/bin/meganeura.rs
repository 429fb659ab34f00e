//! meganeura: static graphs on blade-graphics. Labels are f32 rows, since its loss takes no class indices.

use meganeura::{Graph, Mode, NodeId, Session, SessionConfig, build};
use wgrad_peers::expect;
use wgrad_peers::inputs::{
    self, CHECKED_STEPS, Cnn, Dense, Gpt, LARGE, Mlp, Norm, ROWS, TINY, TINY_OPS, TWO_LAYER_STEPS, TwoLayer, one_hot,
};
use wgrad_peers::serve::{Engine, Job, Result, serve};

struct Meganeura;

/// A graph that is being made, and the values of its inputs and parameters.
struct Model {
    graph: Graph,
    inputs: Vec<(String, Vec<f32>)>,
    indices: Vec<(String, Vec<u32>)>,
    parameters: Vec<(String, Vec<f32>)>,
}

impl Model {
    fn new() -> Model {
        Model { graph: Graph::new(), inputs: Vec::new(), indices: Vec::new(), parameters: Vec::new() }
    }

    fn input(&mut self, name: &str, shape: &[usize], values: &[f32]) -> NodeId {
        self.inputs.push((name.into(), values.to_vec()));
        self.graph.input(name, shape)
    }

    fn indices(&mut self, name: &str, values: Vec<u32>) -> NodeId {
        let node = self.graph.input_u32(name, &[values.len()]);
        self.indices.push((name.into(), values));
        node
    }

    fn parameter(&mut self, name: &str, shape: &[usize], values: &[f32]) -> NodeId {
        self.parameters.push((name.into(), values.to_vec()));
        self.graph.parameter(name, shape)
    }

    fn linear(&mut self, name: &str, x: NodeId, dense: &Dense) -> NodeId {
        let weight = self.parameter(&format!("{name}.weight"), &[dense.inputs, dense.outputs], &dense.transposed());
        let bias = self.parameter(&format!("{name}.bias"), &[dense.outputs], &dense.bias);
        let product = self.graph.matmul(x, weight);
        self.graph.bias_add(product, bias)
    }

    fn norm(&mut self, name: &str, x: NodeId, norm: &Norm) -> NodeId {
        let width = norm.weight.len();
        let weight = self.parameter(&format!("{name}.weight"), &[width], &norm.weight);
        let bias = self.parameter(&format!("{name}.bias"), &[width], &norm.bias);
        self.graph.layer_norm(x, weight, bias, Gpt::EPS as f32)
    }

    fn session(mut self, output: NodeId, mode: Mode) -> Session {
        self.graph.set_outputs(vec![output]);
        let mut session = build(&self.graph, SessionConfig { mode, ..Default::default() }).0;
        self.parameters.iter().for_each(|(name, values)| session.set_parameter(name, values));
        self.inputs.iter().for_each(|(name, values)| session.set_input(name, values));
        self.indices.iter().for_each(|(name, values)| session.set_input_u32(name, values));
        session
    }
}

fn run(session: &mut Session) {
    session.step();
    session.wait();
}

/// A graph without parameters, and the error of its output of `n` elements.
fn forward(model: Model, output: NodeId, n: usize, error: impl Fn(&[f32]) -> f64) -> Job {
    let mut session = model.session(output, Mode::Inference);
    run(&mut session);
    let error = error(&session.read_output(n));
    Job::new(error, move || {
        run(&mut session);
        Ok(())
    })
}

fn matmul(n: usize) -> Job {
    let (operands, mut m) = (inputs::matrices(n), Model::new());
    let (a, b) = (m.input("a", &[n, n], &operands[0]), m.input("b", &[n, n], &operands[1]));
    let c = m.graph.matmul(a, b);
    forward(m, c, n * n, |got| expect::matmul(n, &operands, got))
}

fn elementwise() -> Job {
    let (operands, mut m) = (inputs::chain(), Model::new());
    let nodes: Vec<NodeId> =
        ["x", "a", "b", "c"].iter().zip(&operands).map(|(name, v)| m.input(name, &[LARGE], v)).collect();
    let y = m.graph.mul(nodes[0], nodes[1]);
    let y = m.graph.add(y, nodes[2]);
    let y = m.graph.relu(y);
    let y = m.graph.mul(y, nodes[3]);
    let y = m.graph.add(y, nodes[0]);
    forward(m, y, LARGE, |got| expect::chain(&operands, got))
}

fn sum() -> Job {
    let (values, mut m) = (inputs::summands(), Model::new());
    let x = m.input("x", &[LARGE], &values);
    let y = m.graph.sum_all(x);
    forward(m, y, 1, |got| expect::sum(&values, got[0]))
}

fn softmax() -> Job {
    let (values, mut m) = (inputs::softmax_rows(), Model::new());
    let x = m.input("x", &ROWS, &values);
    let y = m.graph.softmax(x);
    forward(m, y, values.len(), |got| expect::softmax(&values, got))
}

fn layer_norm() -> Job {
    let (operands, mut m) = (inputs::layer_norm(), Model::new());
    let x = m.parameter("x", &ROWS, &operands.0);
    let y = m.norm("norm", x, &operands.1);
    let dy = m.input("dy", &ROWS, &operands.2);
    let y = m.graph.mul(y, dy);
    let loss = m.graph.sum_all(y);
    let mut session = m.session(loss, Mode::Training);
    run(&mut session);
    let read = |name: &str, n: usize| {
        let mut values = vec![0.0; n];
        session.read_param_grad(name, &mut values);
        values
    };
    let got = [read("x", operands.0.len()), read("norm.weight", ROWS[1]), read("norm.bias", ROWS[1])];
    let error = expect::layer_norm(&operands, [&got[0], &got[1], &got[2]]);
    Job::new(error, move || {
        run(&mut session);
        Ok(())
    })
}

fn two_layer() -> Job {
    let (data, mut m) = (TwoLayer::new(), Model::new());
    let ([inputs, hidden, outputs], batch) = (TwoLayer::SIZES, TwoLayer::BATCH);
    let x = m.input("x", &[batch, inputs], &data.x);
    let negated: Vec<f32> = data.y.iter().map(|y| -y).collect();
    let y = m.input("-y", &[batch, outputs], &negated);
    let w1 = m.parameter("w1", &[inputs, hidden], &data.w1);
    let w2 = m.parameter("w2", &[hidden, outputs], &data.w2);
    let h = m.graph.matmul(x, w1);
    let h = m.graph.relu(h);
    let h = m.graph.matmul(h, w2);
    let difference = m.graph.add(h, y);
    let square = m.graph.mul(difference, difference);
    let loss = m.graph.sum_all(square);
    let mut session = m.session(loss, Mode::Training);
    session.set_learning_rate(TwoLayer::RATE as f32);
    let mut steps = move || {
        session.set_parameter("w1", &data.w1);
        session.set_parameter("w2", &data.w2);
        (0..TWO_LAYER_STEPS).for_each(|_| session.step());
        session.wait();
        session.read_loss()
    };
    let error = expect::losses("two_layer", &[steps()]);
    let job = Job::new(error, move || {
        steps();
        Ok(())
    });
    job.units(TWO_LAYER_STEPS)
}

fn train(workload: &str, mut session: Session) -> Job {
    let losses: Vec<f32> = (0..CHECKED_STEPS)
        .map(|_| {
            run(&mut session);
            session.read_loss()
        })
        .collect();
    // Nothing is allocated after the first step, so the sum stands.
    let memory = session.memory_summary().total_allocated_bytes() as u64;
    let job = Job::new(expect::losses(workload, &losses), move || {
        run(&mut session);
        Ok(())
    });
    job.memory(move || Some(memory))
}

fn mlp() -> Session {
    let (data, mut m) = (Mlp::new(), Model::new());
    let x = m.input("x", &[Mlp::BATCH, Mlp::INPUTS], &data.x);
    let y = m.input("y", &[Mlp::BATCH, Mlp::CLASSES], &one_hot(&data.y, Mlp::CLASSES));
    let h = m.linear("fc1", x, &data.layers[0]);
    let h = m.graph.relu(h);
    let h = m.linear("fc2", h, &data.layers[1]);
    let h = m.graph.relu(h);
    let h = m.linear("fc3", h, &data.layers[2]);
    let loss = m.graph.cross_entropy_loss(h, y);
    let mut session = m.session(loss, Mode::Training);
    session.set_adam(Mlp::RATE as f32, 0.9, 0.999, 1e-8);
    session
}

fn cnn() -> Session {
    let (data, mut m) = (Cnn::new(), Model::new());
    let x = m.input("x", &[data.x.len()], &data.x);
    let y = m.input("y", &[Cnn::BATCH, Cnn::CLASSES], &one_hot(&data.y, Cnn::CLASSES));
    let (batch, mut h) = (Cnn::BATCH as u32, x);
    for (i, conv) in data.convs.iter().enumerate() {
        let (inputs, outputs, side) = (Cnn::CHANNELS[i] as u32, Cnn::CHANNELS[i + 1] as u32, (Cnn::SIDE >> i) as u32);
        let weight = m.parameter(&format!("conv{i}.weight"), &[conv.weight.len()], &conv.weight);
        let bias = m.parameter(&format!("conv{i}.bias"), &[conv.outputs], &conv.bias);
        h = m.graph.conv2d(h, weight, batch, inputs, side, side, outputs, 3, 3, 1, 1);
        h = m.graph.add_per_channel(h, bias, outputs, side * side);
        h = m.graph.relu(h);
        h = m.graph.max_pool_2d(h, batch, outputs, side, side, 2, 2, 2, 0);
    }
    let h = m.graph.reshape(h, &[Cnn::BATCH, data.head.inputs]);
    let h = m.linear("head", h, &data.head);
    let loss = m.graph.cross_entropy_loss(h, y);
    let mut session = m.session(loss, Mode::Training);
    session.set_learning_rate(Cnn::RATE as f32);
    session
}

/// Attention takes one sequence, `[length, heads · width]`. With rows ordered by time first, a reshape makes heads of the batch.
fn gpt() -> Session {
    let (data, mut m) = (Gpt::new(), Model::new());
    let (n, t, d, rows) = (Gpt::BATCH, Gpt::LENGTH, Gpt::WIDTH, Gpt::TOKENS);
    let by_time = |values: &[u32]| -> Vec<u32> { (0..rows).map(|r| values[r % n * t + r / n]).collect() };
    let tokens = m.indices("tokens", by_time(&data.tokens));
    let places = m.indices("places", (0..rows).map(|r| (r / n) as u32).collect());
    let targets = one_hot(&by_time(&data.targets), Gpt::VOCABULARY);
    let y = m.input("y", &[rows, Gpt::VOCABULARY], &targets);
    let token_table = m.parameter("token_table", &[Gpt::VOCABULARY, d], &data.token_table);
    let place_table = m.parameter("place_table", &[t, d], &data.place_table);
    let (e, p) = (m.graph.embedding(tokens, token_table), m.graph.embedding(places, place_table));
    let mut h = m.graph.add(e, p);
    let (heads, width) = ((n * Gpt::HEADS) as u32, (d / Gpt::HEADS) as u32);
    for (i, block) in data.blocks.iter().enumerate() {
        let x = m.norm(&format!("{i}.norm1"), h, &block.norm1);
        let parts = [0, 1, 2].map(|part| {
            let projected = m.linear(&format!("{i}.qkv.{part}"), x, &block.qkv.part(part, 3));
            m.graph.reshape(projected, &[t, n * d])
        });
        let seen = m.graph.causal_attention(parts[0], parts[1], parts[2], heads, heads, width);
        let seen = m.graph.reshape(seen, &[rows, d]);
        let seen = m.linear(&format!("{i}.proj"), seen, &block.proj);
        h = m.graph.add(h, seen);
        let x = m.norm(&format!("{i}.norm2"), h, &block.norm2);
        let x = m.linear(&format!("{i}.fc"), x, &block.fc);
        let x = m.graph.gelu(x);
        let x = m.linear(&format!("{i}.out"), x, &block.out);
        h = m.graph.add(h, x);
    }
    let h = m.norm("norm", h, &data.norm);
    let head = m.parameter("head", &[d, Gpt::VOCABULARY], &data.head.transposed());
    let logits = m.graph.matmul(h, head);
    let loss = m.graph.cross_entropy_loss(logits, y);
    let mut session = m.session(loss, Mode::Training);
    session.set_adam(Gpt::RATE as f32, 0.9, 0.999, 1e-8);
    session.set_weight_decay(Gpt::DECAY as f32);
    session
}

fn tiny(fused: bool) -> Job {
    let (values, mut m) = (inputs::tiny(), Model::new());
    let n = values.len();
    let mut y = m.input("x", &[n], &values);
    let (factor, summand) = (m.graph.constant(vec![TINY.0; n], &[n]), m.graph.constant(vec![TINY.1; n], &[n]));
    for i in 0..TINY_OPS {
        y = if i % 2 == 0 { m.graph.mul(y, factor) } else { m.graph.add(y, summand) };
        if !fused {
            y = m.graph.materialize(y);
        }
    }
    forward(m, y, n, |got| expect::tiny(&values, got)).units(TINY_OPS)
}

impl Engine for Meganeura {
    fn device(&self) -> String {
        let mut m = Model::new();
        let x = m.input("x", &[1], &[1.0]);
        let y = m.graph.relu(x);
        m.session(y, Mode::Inference).device_information().device_name.clone()
    }

    fn job(&mut self, workload: &str) -> Result<Option<Job>> {
        Ok(Some(match workload {
            "elementwise" => elementwise(),
            "sum" => sum(),
            "softmax" => softmax(),
            "layer_norm" => layer_norm(),
            "two_layer" => two_layer(),
            "mlp" => train("mlp", mlp()),
            "cnn" => train("cnn", cnn()),
            "gpt" => train("gpt", gpt()),
            "tiny_fused" => tiny(true),
            "tiny_unfused" => tiny(false),
            name => match name.strip_prefix("matmul_").and_then(|n| n.parse().ok()) {
                Some(n) => matmul(n),
                None => return Ok(None),
            },
        }))
    }

    fn first_step(&mut self) -> Result<f32> {
        let mut session = mlp();
        run(&mut session);
        Ok(session.read_loss())
    }
}

fn main() {
    serve(Meganeura);
}
