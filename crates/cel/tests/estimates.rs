//! The estimated cost of expressions, as `apiextensions-apiserver` 1.36 (cel-go 0.26) gives it.
use cloudwright_cel::{Environment, Json, Schema, Variable};

const TABLE: &[u8] = include_bytes!("estimates.json");

#[test]
fn estimates_are_upstreams() {
    let table = Json::parse(TABLE).expect("the table is JSON");
    let schema = table.get("schema").expect("it has a schema");
    let schema = Schema::of(schema, true, "self").expect("the schema has a type");
    let variables =
        ["self", "oldSelf"].map(|name| Variable::with_schema(name, schema.clone(), false));
    let environment = Environment::new(variables.to_vec(), false);
    let Some(Json::Object(costs)) = table.get("costs") else {
        panic!("the table has costs");
    };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (source, wanted) in costs.iter() {
        let program = environment.compile(source).expect(source);
        let found = program.most().to_string();
        seen += 1;
        if Some(found.as_str()) != wanted.as_str() {
            wrong.push(format!("{source}: {found}, upstream {wanted:?}"));
        }
    }
    assert!(seen > 150, "{seen} expressions");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
