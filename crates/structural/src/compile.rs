//! From the JSON of a schema to a form that is quick to walk.
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cloudwright_cel::{
    CompileError, Environment, Json, Pattern, Program, Schema, Variable, compile_pattern, quoted,
};

/// A rule of `x-kubernetes-validations`, as it is written.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: String,
    pub field_path: String,
    pub optional_old: bool,
}

impl Rule {
    fn of(json: &Json) -> Rule {
        let text = |key: &str| {
            json.get(key)
                .and_then(Json::as_str)
                .unwrap_or("")
                .to_owned()
        };
        Rule {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old: json
                .get("optionalOldSelf")
                .and_then(Json::as_bool)
                .unwrap_or(false),
        }
    }

    /// As upstream prints it: by the names of its Go fields.
    fn json(&self) -> String {
        let or_null = |given: bool, text: String| if given { text } else { "null".to_owned() };
        format!(
            "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\
             \"FieldPath\":{},\"OptionalOldSelf\":{}}}",
            quoted(&self.rule),
            quoted(&self.message),
            quoted(&self.message_expression),
            or_null(!self.reason.is_empty(), quoted(&self.reason)),
            quoted(&self.field_path),
            or_null(self.optional_old, "true".to_owned()),
        )
    }

    /// How messages name it.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.message.is_empty() {
            self.rule.trim()
        } else {
            self.message.trim()
        }
    }
}

/// A rule that is ready to run.
#[derive(Debug)]
pub struct Compiled {
    pub program: Program,
    pub message: Option<Program>,
    pub uses_old: bool,
}

/// What is wrong with a rule of a definition.
#[derive(Clone, Debug)]
pub struct RuleProblem {
    /// The path of the rule in the schema: `properties[spec].x-kubernetes-validations[0]`.
    pub path: String,
    /// `rule` or `messageExpression`.
    pub field: &'static str,
    /// The rule as JSON, as messages show it.
    pub source: String,
    pub message: String,
}

/// Which field of a rule is wrong, and why.
pub type Refused = (&'static str, String);

/// The rules of one node and the environments that they run in.
#[derive(Debug)]
pub struct Rules {
    pub rules: Vec<Rule>,
    pub(crate) schema: Option<Arc<Schema>>,
    plain: OnceLock<(Environment, Environment)>,
    compiled: Vec<OnceLock<Result<Compiled, Refused>>>,
}

impl Rules {
    fn environments(&self) -> Option<&(Environment, Environment)> {
        let schema = self.schema.as_ref()?;
        Some(self.plain.get_or_init(|| {
            let of = |optional: bool| {
                let one =
                    |name: &str, optional| Variable::with_schema(name, schema.clone(), optional);
                Environment::new(vec![one("self", false), one("oldSelf", optional)], false)
            };
            (of(false), of(true))
        }))
    }

    fn mention_old(&self) -> bool {
        self.rules.iter().any(|one| one.rule.contains("oldSelf"))
    }

    /// The environment of a rule.
    pub fn environment(&self, rule: &Rule) -> Option<&Environment> {
        let (plain, optional) = self.environments()?;
        Some(if rule.optional_old { optional } else { plain })
    }

    /// A rule, compiled when first asked for.
    pub fn compiled(&self, at: usize) -> &Result<Compiled, Refused> {
        self.compiled[at].get_or_init(|| self.compile(&self.rules[at]))
    }

    fn compile(&self, rule: &Rule) -> Result<Compiled, Refused> {
        let Some(environment) = self.environment(rule) else {
            let text = "failed to convert to declType for CEL validation rules";
            return Err(("rule", text.to_owned()));
        };
        let failed = |prefix: &str, error: &CompileError| format!("{prefix}: {error}");
        let program = environment
            .compile(&rule.rule)
            .map_err(|error| ("rule", failed("compilation failed", &error)))?;
        if program.result().to_string() != "bool" {
            return Err(("rule", "cel expression must evaluate to a bool".to_owned()));
        }
        let uses_old = program.uses("oldSelf");
        let mut message = None;
        if !rule.message_expression.is_empty() {
            let field = "messageExpression";
            let found = environment
                .compile(&rule.message_expression)
                .map_err(|error| {
                    (
                        field,
                        failed("messageExpression compilation failed", &error),
                    )
                })?;
            if found.result().to_string() != "string" {
                let text = "messageExpression must evaluate to a string";
                return Err((field, text.to_owned()));
            }
            message = Some(found);
        }
        Ok(Compiled {
            program,
            message,
            uses_old,
        })
    }
}

/// What an object's additional properties may be.
#[derive(Debug)]
pub enum Additional {
    Unsaid,
    Any(bool),
    Schema(Box<Node>),
}

/// A number that limits others, and whether it is itself excluded.
pub type Bound = Option<(f64, bool)>;

/// One node of a schema.
#[derive(Debug)]
pub struct Node {
    pub kind: Option<Arc<str>>,
    pub format: Arc<str>,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve: bool,
    pub embedded: bool,
    pub properties: HashMap<Arc<str>, Node>,
    pub additional: Additional,
    pub items: Option<Box<Node>>,
    pub default: Option<Json>,
    pub required: Vec<Arc<str>>,
    pub choices: Vec<Json>,
    pub minimum: Bound,
    pub maximum: Bound,
    pub multiple: Option<f64>,
    pub length: (Option<i64>, Option<i64>),
    pub count: (Option<i64>, Option<i64>),
    pub members: (Option<i64>, Option<i64>),
    pub unique: bool,
    pub pattern: Option<(String, Result<Arc<Pattern>, String>)>,
    pub all: Vec<Node>,
    pub any: Vec<Node>,
    pub one: Vec<Node>,
    pub not: Option<Box<Node>>,
    pub list: Option<Arc<str>>,
    pub keys: Vec<Arc<str>>,
    pub rules: Option<Box<Rules>>,
    /// Whether it, or anything in it, has rules, defaults or unique lists.
    pub has_rules: bool,
    pub has_defaults: bool,
    pub has_lists: bool,
    pub compares: bool,
}

/// A compiled schema of a custom resource.
#[derive(Debug)]
pub struct Structure {
    pub(crate) root: Node,
}

impl Structure {
    /// A schema from its JSON.
    #[must_use]
    pub fn new(schema: &Json) -> Structure {
        Structure {
            root: node(schema, true, "self"),
        }
    }

    /// Whether reading an object may find it changed: there are defaults.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        self.root.has_defaults
    }

    /// Whether a rule compares with the old object.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.root.compares
    }

    /// What is wrong with the rules: every rule is compiled.
    #[must_use]
    pub fn rule_problems(&self) -> Vec<RuleProblem> {
        let mut found = Vec::new();
        self.root.rule_problems("", &mut found);
        found
    }
}

fn flag(schema: &Json, key: &str) -> bool {
    schema.get(key).and_then(Json::as_bool).unwrap_or(false)
}

fn texts(schema: &Json, key: &str) -> Vec<Arc<str>> {
    let list = schema.get(key).and_then(Json::as_list).unwrap_or_default();
    list.iter()
        .filter_map(Json::as_str)
        .map(Arc::from)
        .collect()
}

fn whole(schema: &Json, key: &str) -> Option<i64> {
    schema.get(key).and_then(Json::as_i64)
}

fn bound(schema: &Json, key: &str, exclusive: &str) -> Bound {
    Some((schema.get(key)?.as_f64()?, flag(schema, exclusive)))
}

fn parts(schema: &Json, key: &str) -> Vec<Node> {
    let list = schema.get(key).and_then(Json::as_list).unwrap_or_default();
    list.iter().map(|one| node(one, false, "self")).collect()
}

/// The formats that are looked at; others mean nothing.
fn format(schema: &Json, kind: Option<&str>) -> Arc<str> {
    let given = schema.get("format").and_then(Json::as_str).unwrap_or("");
    let known = match kind {
        None | Some("string") => crate::formats::known(given),
        Some("integer") => matches!(given, "int32" | "int64"),
        Some("number") => matches!(given, "float" | "double"),
        Some(_) => false,
    };
    Arc::from(if known { given } else { "" })
}

fn rules(schema: &Json, resource: bool, name: &str) -> Option<Box<Rules>> {
    let given = schema.get("x-kubernetes-validations")?.as_list()?;
    if given.is_empty() {
        return None;
    }
    Some(Box::new(Rules {
        rules: given.iter().map(Rule::of).collect(),
        schema: Schema::of(schema, resource, name),
        plain: OnceLock::new(),
        compiled: given.iter().map(|_| OnceLock::new()).collect(),
    }))
}

fn node(schema: &Json, resource: bool, name: &str) -> Node {
    let kind = schema.get("type").and_then(Json::as_str);
    let properties: HashMap<Arc<str>, Node> = match schema.get("properties") {
        Some(Json::Object(given)) => given
            .iter()
            .map(|(key, one)| (key.clone(), node(one, false, &format!("{name}.{key}"))))
            .collect(),
        _ => HashMap::new(),
    };
    let additional = match schema.get("additionalProperties") {
        Some(Json::Bool(any)) => Additional::Any(*any),
        Some(one @ Json::Object(_)) => {
            Additional::Schema(Box::new(node(one, false, &format!("{name}.@elem"))))
        }
        _ => Additional::Unsaid,
    };
    let pattern = schema
        .get("pattern")
        .and_then(Json::as_str)
        .filter(|text| !text.is_empty());
    let mut made = Node {
        kind: kind.map(Arc::from),
        format: format(schema, kind),
        nullable: flag(schema, "nullable"),
        int_or_string: flag(schema, "x-kubernetes-int-or-string"),
        preserve: flag(schema, "x-kubernetes-preserve-unknown-fields"),
        embedded: flag(schema, "x-kubernetes-embedded-resource"),
        properties,
        additional,
        items: schema
            .get("items")
            .map(|one| Box::new(node(one, false, &format!("{name}.@idx")))),
        default: schema
            .get("default")
            .filter(|one| **one != Json::Null)
            .cloned(),
        required: texts(schema, "required"),
        choices: schema
            .get("enum")
            .and_then(Json::as_list)
            .unwrap_or_default()
            .to_vec(),
        minimum: bound(schema, "minimum", "exclusiveMinimum"),
        maximum: bound(schema, "maximum", "exclusiveMaximum"),
        multiple: schema.get("multipleOf").and_then(Json::as_f64),
        length: (whole(schema, "minLength"), whole(schema, "maxLength")),
        count: (whole(schema, "minItems"), whole(schema, "maxItems")),
        members: (
            whole(schema, "minProperties"),
            whole(schema, "maxProperties"),
        ),
        unique: flag(schema, "uniqueItems"),
        pattern: pattern.map(|text| (text.to_owned(), compile_pattern(text))),
        all: parts(schema, "allOf"),
        any: parts(schema, "anyOf"),
        one: parts(schema, "oneOf"),
        not: schema
            .get("not")
            .map(|one| Box::new(node(one, false, name))),
        list: schema
            .get("x-kubernetes-list-type")
            .and_then(Json::as_str)
            .map(Arc::from),
        keys: texts(schema, "x-kubernetes-list-map-keys"),
        rules: rules(schema, resource, name),
        has_rules: false,
        has_defaults: false,
        has_lists: false,
        compares: false,
    };
    let mut compares = made.all.iter().any(|one| one.compares)
        || made.rules.as_ref().is_some_and(|rules| rules.mention_old());
    let (mut has_rules, mut has_defaults, mut has_lists) = (
        made.rules.is_some() || made.all.iter().any(|one| one.has_rules),
        made.default.is_some(),
        made.list.as_deref().is_some_and(|kind| kind != "atomic"),
    );
    for inner in made.inner() {
        has_rules |= inner.has_rules;
        has_defaults |= inner.has_defaults;
        has_lists |= inner.has_lists;
        compares |= inner.compares;
    }
    (made.has_rules, made.has_defaults) = (has_rules, has_defaults);
    (made.has_lists, made.compares) = (has_lists, compares);
    made
}

impl Node {
    /// The nodes of its properties, entries and items.
    pub fn inner(&self) -> impl Iterator<Item = &Node> {
        let additional = match &self.additional {
            Additional::Schema(one) => Some(&**one),
            _ => None,
        };
        self.properties
            .values()
            .chain(additional)
            .chain(self.items.as_deref())
    }

    /// The node of a member, and whether that is a declared property.
    pub fn member(&self, name: &str) -> Option<(&Node, bool)> {
        if let Some(found) = self.properties.get(name) {
            return Some((found, true));
        }
        match &self.additional {
            Additional::Schema(one) => Some((one, false)),
            _ => None,
        }
    }

    /// The types it allows, as messages list them.
    #[must_use]
    pub fn types(&self) -> &str {
        if self.int_or_string {
            "integer,string"
        } else {
            self.kind.as_deref().unwrap_or("")
        }
    }

    fn rule_problems(&self, path: &str, found: &mut Vec<RuleProblem>) {
        if !self.has_rules {
            return;
        }
        if let Some(rules) = &self.rules {
            for (at, rule) in rules.rules.iter().enumerate() {
                let path = format!("{path}.x-kubernetes-validations[{at}]");
                let path = path.trim_start_matches('.').to_owned();
                if rule.rule.trim().is_empty() {
                    continue;
                }
                if let Err((field, message)) = rules.compiled(at) {
                    let source = rule.json();
                    found.push(RuleProblem {
                        path,
                        field,
                        source,
                        message: message.clone(),
                    });
                }
            }
        }
        let mut names: Vec<&Arc<str>> = self.properties.keys().collect();
        names.sort();
        for name in names {
            self.properties[name].rule_problems(&format!("{path}.properties[{name}]"), found);
        }
        if let Additional::Schema(one) = &self.additional {
            one.rule_problems(&format!("{path}.additionalProperties"), found);
        }
        if let Some(one) = &self.items {
            one.rule_problems(&format!("{path}.items"), found);
        }
    }
}
