//! `WGRAD_TUNE`: products try a few kernels, and the file keeps which was fastest.

use wgrad::{Device, Result, Tensor};

use crate::environment::{printed, run};

/// What a child process runs.
pub fn program() -> Result<()> {
    let device = Device::default();
    device.seed(1);
    let (a, b) = (Tensor::randn([256, 256], &device), Tensor::randn([256, 256], &device));
    a.realize()?;
    b.realize()?;
    let before = device.stats().dispatches;
    let product = a.matmul(&b);
    let kernels = product.explain()?.kernels;
    println!("dispatches: {}", device.stats().dispatches - before);
    let constant = |name: &str| {
        let line = |text: &str| text.lines().find(|line| line.contains(&format!("const {name}: "))).map(str::to_owned);
        kernels.iter().find_map(|kernel| line(&kernel.wgsl))
    };
    let tile: Vec<String> = ["ROWS", "ROW_SIDE", "ROW_QUADS"].into_iter().filter_map(constant).collect();
    println!("tile: {}", tile.join(" "));
    println!("sum: {}", product.square().sum().item::<f32>()?);
    // Of a class that has one candidate.
    println!("row: {}", a.narrow(0, 0, 1).matmul(&b).square().sum().item::<f32>()?);
    Ok(())
}

#[test]
fn products_try_a_few_kernels_and_keep_the_fastest() {
    let path = std::env::temp_dir().join(format!("wgrad-tuned-{}.json", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let variables = [("WGRAD_TUNE", path.to_str().unwrap())];
    let number = |output: &_, name| printed(output, name).parse::<f32>().unwrap();

    let usual = run("tuned", &[]);
    let first = run("tuned", &variables);
    let text = std::fs::read_to_string(&path).unwrap();
    // Three candidates, six runs each, and the product itself.
    assert!(number(&first, "dispatches") >= number(&usual, "dispatches") + 18.0, "{text}");
    for name in ["sum", "row"] {
        let (a, b) = (number(&first, name), number(&usual, name));
        assert!((a - b).abs() <= 1e-5 * b, "{name}: {a} and {b}");
    }
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let adapter = table.as_object().unwrap().values().next().unwrap();
    let class = "matmul f32 1 256 256 256, A by rows, B by rows";
    assert!(adapter[class].as_u64().is_some_and(|candidate| candidate < 3), "{text}");
    assert_eq!(adapter["matmul f32 1 1 256 256, A by rows, B by rows"], 0, "{text}");

    // Another process looks it up.
    let second = run("tuned", &variables);
    // One more where the fastest packs an operand first.
    assert!(number(&second, "dispatches") <= number(&usual, "dispatches") + 1.0, "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // And takes what it finds.
    let tiles = [0, 1, 2].map(|candidate| {
        let mut table = table.clone();
        for adapter in table.as_object_mut().unwrap().values_mut() {
            adapter[class] = candidate.into();
        }
        std::fs::write(&path, table.to_string()).unwrap();
        printed(&run("tuned", &variables), "tile")
    });
    assert!(tiles[0] != tiles[1] && tiles[1] != tiles[2] && tiles[0] != tiles[2], "{tiles:?}");
    assert_eq!(tiles[0], printed(&usual, "tile"));

    // A file that is no table is left alone.
    std::fs::write(&path, "no table").unwrap();
    assert_eq!(printed(&run("tuned", &variables), "tile"), tiles[0]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no table");
    std::fs::remove_file(&path).unwrap();
}
