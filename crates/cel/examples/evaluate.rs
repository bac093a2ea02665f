//! Evaluates expressions (JSON strings, one a line, on stdin) over `self` and `d`, for comparison
//! with other implementations: `evaluate SCHEMA.json VALUE.json < expressions`.
#![allow(clippy::print_stdout)]
use std::error::Error;
use std::io::{BufRead, stdin};

use cloudwright_cel::{Environment, Json, Variable};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (schema, value) = (
        args.next().ok_or("no schema")?,
        args.next().ok_or("no value")?,
    );
    let schema = Json::parse(&std::fs::read(schema)?)?;
    let value = Json::parse(&std::fs::read(value)?)?;
    let variables = vec![
        Variable::declared("self", &schema, false, false)?,
        Variable::declared("d", &Json::from("dyn"), false, false)?,
    ];
    let environment = Environment::new(variables, false);
    for line in stdin().lock().lines() {
        let source = serde_json::from_str::<String>(&line?)?;
        let mut out = serde_json::json!({"src": source});
        match environment.compile(&source) {
            Err(error) => out["compile"] = error.to_string().into(),
            Ok(program) => {
                out["type"] = program.result().to_string().into();
                let mut activation = environment.activation();
                for (slot, variable) in environment.variables().iter().enumerate() {
                    activation.values[slot] = Some(variable.value(&value));
                }
                match program.evaluate_json(&mut activation, 1_000_000) {
                    Ok(found) => out["value"] = found.to_string().into(),
                    Err(fault) => out["error"] = fault.to_string().into(),
                }
                out["cost"] = activation.cost.into();
            }
        }
        println!("{out}");
    }
    Ok(())
}
