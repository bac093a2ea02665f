//! Checks objects (`{"Schema", "New", "Old"}`, one a line, on stdin), for comparison with
//! other implementations: prints what is wrong and the prepared object.
#![allow(clippy::print_stdout)]
use std::error::Error;
use std::io::{BufRead, stdin};
use std::sync::Arc;

use cloudwright_cel::{Fields, Json};
use cloudwright_structural::Structure;

fn main() -> Result<(), Box<dyn Error>> {
    for line in stdin().lock().lines() {
        let case = Json::parse(line?.as_bytes())?;
        let structure = Structure::new(case.get("Schema").ok_or("no schema")?);
        let prepared = |name: &str| {
            let mut object = case.get(name).filter(|one| **one != Json::Null)?.clone();
            structure.prune(&mut object);
            structure.fill(&mut object);
            Some(object)
        };
        let new = prepared("New").ok_or("no object")?;
        let verdict = structure.validate(&new, prepared("Old").as_ref());
        let errors = verdict
            .problems
            .iter()
            .map(|one| Json::from(one.text().as_str()));
        let out = Fields::new(vec![
            (Arc::from("errors"), Json::List(Arc::new(errors.collect()))),
            (Arc::from("prepared"), new),
        ]);
        println!("{}", Json::Object(Arc::new(out)));
    }
    Ok(())
}
