//! Expressions as Kubernetes' documentation has them, and what they give.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use cloudwright_cel::{Decision, Environment, Fault, Json, Value, Variable};

const SELF: &str = r#"{
  "type": "object",
  "properties": {
    "replicas": {"type": "integer"}, "minReplicas": {"type": "integer"},
    "ratio": {"type": "number"}, "name": {"type": "string", "maxLength": 20},
    "flag": {"type": "boolean"}, "none": {"type": "string"},
    "namespace": {"type": "string"}, "a.b-c/d": {"type": "string"}, "x__y": {"type": "string"},
    "when": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
    "wait": {"type": "string", "format": "duration"}, "raw": {"type": "string", "format": "byte"},
    "either": {"x-kubernetes-int-or-string": true},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "names": {"type": "array", "items": {"type": "string"}},
    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
      "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
    "maybe": {"type": "string", "nullable": true},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
  }
}"#;
const VALUE: &str = r#"{
  "replicas": 3, "minReplicas": 1, "ratio": 1, "name": "web", "flag": true, "namespace": "ns",
  "a.b-c/d": "odd", "x__y": "under", "when": "2024-02-29T12:30:00Z", "day": "2024-02-29", "wait": "90s",
  "raw": "aGk=", "either": "50%", "labels": {"app": "web", "tier": "1"}, "names": ["b", "a", "c"],
  "set": ["x", "y"], "ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 9000}], "maybe": null,
  "free": {"a": 1}
}"#;

fn environment() -> Environment {
    let schema = Json::parse(SELF.as_bytes()).unwrap();
    let variables = vec![
        Variable::declared("self", &schema, false, false).unwrap(),
        Variable::declared("d", &Json::from("dyn"), false, false).unwrap(),
        Variable::declared("authorizer", &Json::from("authorizer"), false, false).unwrap(),
    ];
    Environment::new(variables, true)
}

fn run(source: &str) -> Result<String, String> {
    let environment = environment();
    let program = environment
        .compile(source)
        .map_err(|error| error.to_string())?;
    let mut activation = environment.activation();
    let value = Json::parse(VALUE.as_bytes()).unwrap();
    for slot in 0..2 {
        activation.values[slot] = Some(environment.variables()[slot].value(&value));
    }
    match program.evaluate_json(&mut activation, 1_000_000) {
        Ok(found) => Ok(found.to_string()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn gives(source: &str, wanted: &str) {
    assert_eq!(run(source).as_deref(), Ok(wanted), "{source}");
}

fn fails(source: &str, wanted: &str) {
    let found = run(source).expect_err(source);
    assert!(
        found.contains(wanted),
        "{source}\n{found}\nwanted: {wanted}"
    );
}

#[test]
fn every_true_expression_is_true() {
    let sources = include_str!("true.txt");
    let mut number = 0;
    for source in sources
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        gives(source, "true");
        number += 1;
    }
    assert!(number > 200, "{number}");
}

#[test]
fn results_have_json_forms() {
    gives("self.replicas + 1", "4");
    gives("self.ratio", "1.0");
    gives("[1, 2].map(x, x * 2)", "[2,4]");
    gives(
        "{'a': ['x'], 'b': self.names}",
        r#"{"a":["x"],"b":["b","a","c"]}"#,
    );
    gives("self.when", r#""2024-02-29T12:30:00Z""#);
    gives("self.wait", r#""90s""#);
    gives("self.raw", r#""aGk=""#);
    gives("quantity('1500m').add(1)", r#""2500m""#);
    gives(
        "Object{spec: Object.spec{replicas: 3, ?x: optional.none()}}",
        r#"{"spec":{"replicas":3}}"#,
    );
    gives(
        "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: 'x'}]",
        r#"[{"op":"add","path":"/metadata/labels/a~1b~0c","value":"x"}]"#,
    );
}

#[test]
fn evaluation_errors_are_upstreams() {
    fails("1 / 0 == 1", "division by zero");
    fails("1 % 0 == 1", "modulus by zero");
    fails("9223372036854775807 + 1 > 0", "integer overflow");
    fails("d.missing == 1", "no such key: missing");
    fails("self.none == 'x'", "no such key: none");
    fails("self.names[7] == 'x'", "index out of bounds: 7");
    fails("self.labels['x'] == 'x'", "no such key: x");
    fails("d.name + 1 == 2", "no such overload");
    fails(
        "quantity('x') == quantity('1')",
        "quantities must match the regular expression",
    );
    fails(
        "ip('::ffff:1.2.3.4').family() == 6",
        "IPv4-mapped IPv6 address",
    );
    fails(
        "url('x').getHost() == ''",
        "URL parse error during conversion from string",
    );
    fails(
        "optional.none().value() == 1",
        "optional.none() dereference",
    );
    fails(
        "'abc'.substring(2, 1) == ''",
        "invalid substring range. start: 2, end: 1",
    );
    fails("[].max() == 1", "max called on empty list");
    fails(
        "semver('1.2') == semver('1.2.0')",
        "No Major.Minor.Patch elements found",
    );
    fails(
        "Object{spec: Object.other{a: 1}}",
        "unexpected type name \"Object.other\", expected \"Object.spec\"",
    );
}

#[test]
fn compile_errors_are_upstreams() {
    for (source, wanted) in [
        (
            "foo > 1",
            "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo > 1\n | ^",
        ),
        (
            "self.foo > 1",
            "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo > 1\n | ....^",
        ),
        (
            "self.name > 1",
            "found no matching overload for '_>_' applied to '(string, int)'",
        ),
        (
            "self.ratio == 1",
            "found no matching overload for '_==_' applied to '(double, int)'",
        ),
        (
            "self.name.foo()",
            "undeclared reference to 'foo' (in container '')",
        ),
        (
            "self.name.a",
            "type 'string' does not support field selection",
        ),
        (
            "self.replicas.all(x, x > 1)",
            "expression of type 'int' cannot be range of a comprehension",
        ),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("self.flag && 1", "expected type 'bool' but found 'int'"),
        ("'a'.matches('(')", "invalid matches argument"),
        ("duration('x')", "invalid duration argument"),
        ("self.free.a == 1", "undefined field 'a'"),
        ("self.replicas >", "Syntax error"),
        ("self.names.map(1, 2)", "argument must be a simple name"),
        (
            "size(1)",
            "found no matching overload for 'size' applied to '(int)'",
        ),
        ("Unknown{a: 1}", "undeclared reference to 'Unknown'"),
        ("JSONPatch{foo: 1}", "undefined field 'foo'"),
        (
            "JSONPatch{op: 1}",
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        ("'ü' + a", "ERROR: <input>:1:7: undeclared reference to 'a'"),
    ] {
        let found = environment().compile(source).expect_err(source).to_string();
        assert!(
            found.contains(wanted),
            "{source}\n{found}\nwanted: {wanted}"
        );
    }
}

#[test]
fn static_types_are_known() {
    for (source, wanted) in [
        ("self.replicas > 1", "bool"),
        ("self.either", "dyn"),
        ("self.names", "list(string)"),
        ("self.labels", "map(string, string)"),
        ("[]", "list(dyn)"),
        ("self.?name", "optional_type(string)"),
        ("{'a': [1]}", "map(string, list(int))"),
        ("self.ports.map(p, p.port)", "list(int)"),
        ("d.x.y", "dyn"),
        ("type(1)", "type(int)"),
    ] {
        let program = environment().compile(source).unwrap();
        assert_eq!(program.result().to_string(), wanted, "{source}");
    }
    assert!(environment().compile("self.flag").unwrap().uses("self"));
    assert!(!environment().compile("d.flag").unwrap().uses("self"));
}

#[test]
fn runaway_expressions_are_stopped() {
    let list = format!("[{}]", vec!["1"; 200].join(","));
    let source = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > 0)))");
    fails(&source, "operation cancelled: actual cost limit exceeded");
    fails("lists.range(100000000).size() > 0", "cost limit exceeded");
    let deep = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
    assert!(environment().compile(&deep).is_err());
    let long = vec!["1"; 5_000].join("+");
    assert!(environment().compile(&long).is_err());
    let nots = format!("{}true", "!".repeat(3_000));
    let _ = environment().compile(&nots);
}

#[test]
fn costs_are_upstreams() {
    // From the tables of cel-go and of Kubernetes' cost tests.
    for (source, wanted) in [
        ("true", 0),
        ("1 == 1", 1),
        ("self.replicas > 1", 3),
        ("has(self.replicas)", 1),
        ("[1, 2]", 0),
        ("{'a': self.replicas}", 32),
        ("'abc'.startsWith('a')", 1),
        ("[1, 2].all(x, x > 0)", 11),
    ] {
        let environment = environment();
        let program = environment.compile(source).unwrap();
        let mut activation = environment.activation();
        let value = Json::parse(VALUE.as_bytes()).unwrap();
        activation.values[0] = Some(environment.variables()[0].value(&value));
        program.evaluate(&mut activation, 1000).unwrap();
        assert_eq!(activation.cost, wanted, "{source}");
    }
}

#[test]
fn composed_variables_are_evaluated_once() {
    let environment = environment();
    environment.compose("small", "self.replicas < 10").unwrap();
    environment
        .compose("both", "variables.small && self.flag")
        .unwrap();
    let program = environment
        .compile("variables.both && variables.small && has(variables.small)")
        .unwrap();
    let mut activation = environment.activation();
    let value = Json::parse(VALUE.as_bytes()).unwrap();
    activation.values[0] = Some(environment.variables()[0].value(&value));
    let found = program.evaluate_json(&mut activation, 1000).unwrap();
    assert_eq!(found, Json::Bool(true));
    let missing = environment
        .compile("variables.nothing")
        .unwrap_err()
        .to_string();
    assert!(missing.contains("undefined field 'nothing'"), "{missing}");
}

#[test]
fn authorizers_are_asked_once() {
    let environment = environment();
    let source = "authorizer.group('apps').resource('deployments').namespace('ns').check('get').allowed() \
                  || authorizer.serviceAccount('ns', 'sa').path('/healthz').check('get').reason() == 'why'";
    let program = environment.compile(source).unwrap();
    let mut activation = environment.activation();
    let mut asked = Vec::new();
    let found = loop {
        match program.evaluate_json(&mut activation, 1_000_000) {
            Err(Fault::Question) => {
                let question = activation.question().unwrap();
                asked.push(
                    question
                        .iter()
                        .map(|(k, v)| format!("{k}={v}"))
                        .collect::<Vec<_>>()
                        .join(" "),
                );
                activation.answer(Decision {
                    allowed: false,
                    reason: "why".into(),
                    error: String::new(),
                });
            }
            found => break found,
        }
    };
    assert_eq!(found, Ok(Json::Bool(true)));
    assert_eq!(
        asked,
        [
            "group=apps namespace=ns resource=deployments verb=get",
            "path=/healthz serviceAccountName=sa serviceAccountNamespace=ns verb=get",
        ]
    );
}

#[test]
fn types_of_kubernetes_have_plain_names() {
    let schema = br#"{"type":"object","x-plain-names":true,
        "properties":{"namespace":{"type":"string"}}}"#;
    let schema = Json::parse(schema).expect("JSON");
    let variable = Variable::declared("request", &schema, false, false).expect("a variable");
    let environment = Environment::new(vec![variable], false);
    let program = environment
        .compile("request.namespace == 'x'")
        .expect("it compiles");
    let mut activation = environment.activation();
    let value = Json::parse(br#"{"namespace":"x"}"#).expect("JSON");
    activation.values[0] = Some(environment.variables()[0].value(&value));
    let found = program.evaluate(&mut activation, 1000);
    assert!(matches!(found, Ok(Value::Bool(true))));
    assert!(environment.compile("request.__namespace__ == 'x'").is_err());
}
