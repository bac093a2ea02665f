//! Objects against schemas, with the texts that upstream gives.
#![allow(clippy::unwrap_used)]
use cloudwright_cel::Json;
use cloudwright_structural::Structure;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn check(schema: &str, new: &str, old: Option<&str>) -> Vec<String> {
    let structure = Structure::new(&json(schema));
    let old = old.map(json);
    let verdict = structure.validate(&json(new), old.as_ref());
    verdict.problems.iter().map(|one| one.text()).collect()
}

const SPEC: &str = r#"{"type":"object","properties":{"spec":{"type":"object","required":["name"],"properties":{
  "name":{"type":"string","minLength":2,"maxLength":5,"pattern":"^[a-z]+$"},
  "size":{"type":"integer","minimum":1,"maximum":10,"multipleOf":2},
  "open":{"type":"number","minimum":0,"exclusiveMinimum":true},
  "mode":{"type":"string","enum":["a","b"]},
  "when":{"type":"string","format":"date-time"},
  "either":{"x-kubernetes-int-or-string":true},
  "maybe":{"type":"string","nullable":true},
  "list":{"type":"array","maxItems":2,"items":{"type":"string"}},
  "set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
  "keyed":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
    "items":{"type":"object","properties":{"name":{"type":"string"},"port":{"type":"integer","maximum":10}}}},
  "map":{"type":"object","additionalProperties":{"type":"integer"}},
  "one":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},
    "oneOf":[{"required":["a"]},{"required":["b"]}]}
}}}}"#;

#[test]
fn problems_have_upstreams_texts() {
    for (spec, wanted) in [
        (r#"{"name":"abc"}"#, vec![]),
        (r#"{}"#, vec!["spec.name: Required value"]),
        (
            r#"{"name":"a"}"#,
            vec![
                r#"spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long"#,
            ],
        ),
        (
            r#"{"name":"abcdef"}"#,
            vec!["spec.name: Too long: may not be more than 5 bytes"],
        ),
        (
            r#"{"name":"AB"}"#,
            vec![r#"spec.name: Invalid value: "AB": spec.name in body should match '^[a-z]+$'"#],
        ),
        (
            r#"{"name":1}"#,
            vec![
                r#"spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer""#,
            ],
        ),
        (
            r#"{"name":null}"#,
            vec![
                r#"spec.name: Invalid value: "null": spec.name in body must be of type string: "null""#,
            ],
        ),
        (
            r#"{"name":"abc","size":12}"#,
            vec![
                "spec.size: Invalid value: 12: spec.size in body should be less than or equal to 10",
            ],
        ),
        (
            r#"{"name":"abc","size":3}"#,
            vec!["spec.size: Invalid value: 3: spec.size in body should be a multiple of 2"],
        ),
        (
            r#"{"name":"abc","open":0}"#,
            vec!["spec.open: Invalid value: 0: spec.open in body should be greater than 0"],
        ),
        (
            r#"{"name":"abc","mode":"c"}"#,
            vec![r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#],
        ),
        (
            r#"{"name":"abc","when":"x"}"#,
            vec![
                r#"spec.when: Invalid value: "x": spec.when in body must be of type date-time: "x""#,
            ],
        ),
        (
            r#"{"name":"abc","either":true}"#,
            vec![
                r#"spec.either: Invalid value: "boolean": spec.either in body must be of type integer,string: "boolean""#,
            ],
        ),
        (r#"{"name":"abc","maybe":null}"#, vec![]),
        (
            r#"{"name":"abc","list":["a","b","c"]}"#,
            vec!["spec.list: Too many: 3: must have at most 2 items"],
        ),
        (
            r#"{"name":"abc","list":[1]}"#,
            vec![
                r#"spec.list[0]: Invalid value: "integer": spec.list[0] in body must be of type string: "integer""#,
            ],
        ),
        (
            r#"{"name":"abc","set":["a","b","a"]}"#,
            vec![r#"spec.set[2]: Duplicate value: "a""#],
        ),
        (
            r#"{"name":"abc","keyed":[{"name":"a"},{"name":"a"}]}"#,
            vec![r#"spec.keyed[1]: Duplicate value: {"name":"a"}"#],
        ),
        (
            r#"{"name":"abc","map":{"k":"x"}}"#,
            vec![
                r#"spec.map.k: Invalid value: "string": spec.map.k in body must be of type integer: "string""#,
            ],
        ),
        (
            r#"{"name":"abc","one":{}}"#,
            vec![
                r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid"#,
                "spec.one.a: Required value",
            ],
        ),
        (
            r#"{"name":"abc","one":{"a":"x","b":"y"}}"#,
            vec![
                r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        ),
    ] {
        let found = check(SPEC, &format!(r#"{{"spec":{spec}}}"#), None);
        assert_eq!(found, wanted, "{spec}");
    }
}

#[test]
fn what_did_not_change_is_tolerated() {
    let old = r#"{"spec":{"name":"AB","size":12,"keyed":[{"name":"x","port":99},{"name":"y","port":1}],"set":["a","a"]}}"#;
    let kept = r#"{"spec":{"name":"AB","size":12,"keyed":[{"name":"y","port":2},{"name":"x","port":99}],"set":["a","a","b"]}}"#;
    assert_eq!(check(SPEC, kept, Some(old)), Vec::<String>::new());
    let worse = r#"{"spec":{"name":"CD","size":12,"keyed":[{"name":"z","port":99}]}}"#;
    assert_eq!(
        check(SPEC, worse, Some(old)),
        [
            r#"spec.keyed[0].port: Invalid value: 99: spec.keyed[0].port in body should be less than or equal to 10"#,
            r#"spec.name: Invalid value: "CD": spec.name in body should match '^[a-z]+$'"#,
        ]
    );
}

const RULES: &str = r#"{"type":"object","x-kubernetes-validations":[{"rule":"self.metadata.name != 'bad'","message":"bad name"}],
 "properties":{"spec":{"type":"object","properties":{
  "min":{"type":"integer"},"max":{"type":"integer","x-kubernetes-validations":[{"rule":"self == oldSelf","message":"max is immutable","reason":"FieldValueForbidden"}]},
  "name":{"type":"string","x-kubernetes-validations":[{"rule":"self.startsWith('x')","messageExpression":"'not ' + self"}]},
  "made":{"type":"string","x-kubernetes-validations":[{"rule":"oldSelf.hasValue() || self == 'new'","optionalOldSelf":true}]},
  "map":{"type":"object","additionalProperties":{"type":"string","x-kubernetes-validations":[{"rule":"self.size() < 3"}]}},
  "slow":{"type":"array","items":{"type":"integer"},"x-kubernetes-validations":[{"rule":"self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}]},
  "atomic":{"type":"array","items":{"type":"string","x-kubernetes-validations":[{"rule":"self == 'ok'"}]}}
 },"x-kubernetes-validations":[{"rule":"self.min <= self.max","fieldPath":".max","message":"too small"}]}}}"#;

#[test]
fn rules_run_over_the_object() {
    for (new, old, wanted) in [
        (
            r#"{"metadata":{"name":"bad"}}"#,
            None,
            vec!["<nil>: Invalid value: bad name"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":3,"max":2}}"#,
            None,
            vec!["spec.max: Invalid value: too small"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":3}}"#,
            None,
            vec!["spec: Invalid value: \"object\": no such key: max evaluating rule: too small"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"name":"y"}}"#,
            None,
            vec!["spec.name: Invalid value: \"y\": not y"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"map":{"k":"long"}}}"#,
            None,
            vec!["spec.map[k]: Invalid value: \"long\": failed rule: self.size() < 3"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":3}}"#,
            Some(r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2}}"#),
            vec!["spec.max: Forbidden: max is immutable"],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"made":"old"}}"#,
            None,
            vec![
                "spec.made: Invalid value: \"old\": failed rule: oldSelf.hasValue() || self == 'new'",
            ],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"made":"old2"}}"#,
            Some(r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"made":"old"}}"#),
            vec![],
        ),
        (
            r#"{"metadata":{"name":"a"},"spec":{"min":"x","max":2,"name":"y"}}"#,
            None,
            vec![
                r#"spec.min: Invalid value: "string": spec.min in body must be of type integer: "string""#,
                "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ],
        ),
    ] {
        assert_eq!(check(RULES, new, old), wanted, "{new}");
    }
}

#[test]
fn rules_tolerate_what_did_not_change() {
    let structure = Structure::new(&json(RULES));
    let old =
        json(r#"{"metadata":{"name":"a"},"spec":{"min":3,"max":2,"name":"y","atomic":["no"]}}"#);
    let new =
        json(r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"name":"y","atomic":["no"]}}"#);
    let verdict = structure.validate(&new, Some(&old));
    assert!(verdict.problems.is_empty(), "{:?}", verdict.problems);
    assert_eq!(
        verdict.warnings,
        [
            "spec.atomic[0]: Invalid value: \"no\": failed rule: self == 'ok'",
            "spec.name: Invalid value: \"y\": not y",
        ]
    );
    let more = json(
        r#"{"metadata":{"name":"a"},"spec":{"min":1,"max":2,"name":"y","atomic":["no","ok"]}}"#,
    );
    let verdict = structure.validate(&more, Some(&old));
    assert_eq!(verdict.problems.len(), 1, "{:?}", verdict.problems);
}

#[test]
fn a_budget_ends_runaway_rules() {
    let list = vec!["1"; 300].join(",");
    let new =
        format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"min":1,"max":2,"slow":[{list}]}}}}"#);
    let found = check(RULES, &new, None);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("call cost exceeds limit for rule"),
        "{found:?}"
    );
}

#[test]
fn defaults_and_pruning() {
    let structure = Structure::new(&json(
        r#"{"type":"object","properties":{"spec":{"type":"object","default":{},"properties":{
        "size":{"type":"integer","default":3},"gone":{"type":"string"},"maybe":{"type":"string","nullable":true,"default":"x"},
        "items":{"type":"array","items":{"type":"object","properties":{"port":{"type":"integer","default":80}}}},
        "map":{"type":"object","additionalProperties":{"type":"object","properties":{"a":{"type":"string","default":"b"}}}},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"known":{"type":"object","properties":{"a":{"type":"string"}}}}},
        "pod":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}}
        }}}}"#,
    ));
    let mut object = json(
        r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a","odd":1},"extra":1,
        "spec":{"gone":null,"maybe":null,"size":null,"items":[{},{"port":1,"x":2}],"map":{"k":{}},
        "free":{"y":{"z":1},"known":{"a":"b","c":1}},"pod":{"apiVersion":"v1","kind":"P","metadata":{},"other":1,"spec":{}}}}"#,
    );
    assert_eq!(
        structure.prune(&mut object),
        [
            "extra",
            "spec.free.known.c",
            "spec.items[1].x",
            "spec.pod.other"
        ]
    );
    assert!(structure.fill(&mut object));
    assert_eq!(
        object.to_string(),
        json(
            r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a","odd":1},
        "spec":{"maybe":null,"size":3,"items":[{"port":80},{"port":1}],"map":{"k":{"a":"b"}},
        "free":{"y":{"z":1},"known":{"a":"b"}},"pod":{"apiVersion":"v1","kind":"P","metadata":{},"spec":{}}}}"#
        )
        .to_string()
    );
    assert!(!structure.fill(&mut object));
    let mut empty = json("{}");
    assert!(structure.fill(&mut empty));
    assert_eq!(empty.to_string(), r#"{"spec":{"maybe":"x","size":3}}"#);
}

#[test]
fn bad_rules_are_told_with_their_paths() {
    let structure = Structure::new(&json(
        r#"{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[{"rule":"self.foo > 1"},{"rule":"1"},
        {"rule":"true","messageExpression":"1"}],"properties":{"a":{"type":"string"}}}}}"#,
    ));
    let found: Vec<String> = structure
        .rule_problems()
        .into_iter()
        .map(|one| format!("{}.{}: {}", one.path, one.field, one.message))
        .collect();
    assert_eq!(
        found,
        [
            "properties[spec].x-kubernetes-validations[0].rule: compilation failed: ERROR: <input>:1:5: undefined field 'foo'\n | self.foo > 1\n | ....^",
            "properties[spec].x-kubernetes-validations[1].rule: cel expression must evaluate to a bool",
            "properties[spec].x-kubernetes-validations[2].messageExpression: messageExpression must evaluate to a string",
        ]
    );
}
