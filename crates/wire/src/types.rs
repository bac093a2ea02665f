//! The table of Go types: one line each, parsed when a type is first met.

use crate::errors::WireError;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    Str,
    Bool,
    Int,
    Double,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntStr,
    /// `runtime.RawExtension`: any object, embedded as bytes.
    Raw,
    /// `metav1.FieldsV1`.
    Fields,
    /// `apiextensions.JSON`.
    Json,
    /// `JSONSchemaPropsOrBool`, `…OrArray`, `…OrStringArray`.
    OrBool(Link),
    OrArray(Link),
    OrStrings(Link),
    Struct(Link),
    /// A message around a list.
    Items(Box<Kind>),
    Map(Box<Kind>),
}

/// A type by name, looked up once.
#[derive(Debug)]
pub(crate) struct Link {
    name: Box<str>,
    found: OnceLock<Arc<Struct>>,
}

#[derive(Debug)]
pub(crate) struct Field {
    /// 0: in JSON only.
    pub number: u32,
    pub name: Box<str>,
    pub kind: Kind,
    pub inlined: bool,
    pub list: bool,
    pub pointer: bool,
    pub omit_empty: bool,
    pub omit_zero: bool,
    /// What Go calls the type in its messages.
    pub go: Box<str>,
}

#[derive(Debug)]
pub(crate) struct Struct {
    pub name: Box<str>,
    pub fields: Vec<Field>,
    /// Positions in `fields` by ascending number, without those that have none.
    pub by_number: Vec<usize>,
    sorted: OnceLock<Option<Box<[Place]>>>,
}

/// A field: the type that has it, and where it is there.
pub(crate) type Place = (Arc<Struct>, usize);

impl Struct {
    /// `DeploymentSpec` of `apps/v1.DeploymentSpec`.
    pub fn short(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// The fields by name, those of inlined types among them; `None`: a type is unknown, or a name
    /// stands twice.
    pub fn sorted(&self, types: &Types) -> Option<&[Place]> {
        let found = self.sorted.get_or_init(|| {
            let mut found = Vec::with_capacity(self.fields.len());
            collect(&types.get(&self.name).ok()?, types, &mut found)?;
            found.sort_by(|one, two| name_at(one).cmp(name_at(two)));
            let twice = found
                .windows(2)
                .any(|pair| name_at(&pair[0]) == name_at(&pair[1]));
            (!twice).then(|| found.into_boxed_slice())
        });
        found.as_deref()
    }
}

fn collect(of: &Arc<Struct>, types: &Types, found: &mut Vec<Place>) -> Option<()> {
    for (at, field) in of.fields.iter().enumerate() {
        match &field.kind {
            Kind::Struct(link) if field.inlined => {
                collect(types.follow(link).ok()?, types, found)?;
            }
            _ => found.push((Arc::clone(of), at)),
        }
    }
    Some(())
}

fn name_at((of, at): &Place) -> &str {
    of.fields.get(*at).map_or("", |field| &field.name)
}

/// Every type that is known.
#[derive(Debug)]
pub struct Types {
    text: Box<str>,
    parsed: RwLock<HashMap<Box<str>, Arc<Struct>>>,
}

impl Types {
    /// The table of `text`: lines `NAME TAB JSON`, sorted by name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Types {
            text: text.into(),
            parsed: RwLock::new(HashMap::new()),
        }
    }

    /// Whether there is a type `name`.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Struct>, WireError> {
        if let Ok(parsed) = self.parsed.read()
            && let Some(found) = parsed.get(name)
        {
            return Ok(found.clone());
        }
        let line = self
            .line(name)
            .ok_or_else(|| WireError::Unknown(name.to_owned()))?;
        let made = Arc::new(parse(name, line)?);
        if let Ok(mut parsed) = self.parsed.write() {
            parsed.insert(name.into(), made.clone());
        }
        Ok(made)
    }

    pub(crate) fn follow<'a>(&self, link: &'a Link) -> Result<&'a Arc<Struct>, WireError> {
        if let Some(found) = link.found.get() {
            return Ok(found);
        }
        let found = self.get(&link.name)?;
        Ok(link.found.get_or_init(|| found))
    }

    /// The JSON of a type, by bisection.
    fn line(&self, name: &str) -> Option<&str> {
        let text = &*self.text;
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let bytes = text.as_bytes();
            let start = bytes[..middle].iter().rposition(|b| *b == b'\n');
            let start = start.map_or(0, |at| at + 1).max(low);
            let end = bytes[start..].iter().position(|b| *b == b'\n')? + start;
            let (found, rest) = text.get(start..end)?.split_once('\t')?;
            match found.cmp(name) {
                std::cmp::Ordering::Equal => return Some(rest),
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = start,
            }
        }
        None
    }
}

/// The name of a kind's type: `apps/v1`, `Deployment` → `apps/v1.Deployment`.
pub(crate) fn type_name(api_version: &str, kind: &str) -> String {
    const META: [&str; 9] = [
        "DeleteOptions",
        "CreateOptions",
        "UpdateOptions",
        "PatchOptions",
        "GetOptions",
        "ListOptions",
        "Status",
        "PartialObjectMetadata",
        "PartialObjectMetadataList",
    ];
    if META.contains(&kind) {
        return format!("meta/v1.{kind}");
    }
    match api_version.split_once('/') {
        None => format!("core/{api_version}.{kind}"),
        Some((group, version)) => {
            let short = group.split('.').next().unwrap_or(group);
            format!("{short}/{version}.{kind}")
        }
    }
}

fn parse(name: &str, line: &str) -> Result<Struct, WireError> {
    let damaged = || WireError::Table(name.to_owned());
    let rows: Vec<(u32, String, String, String, String)> =
        serde_json::from_str(line).map_err(|_| damaged())?;
    let mut fields = Vec::with_capacity(rows.len());
    for (number, field, kind, flags, go) in rows {
        fields.push(Field {
            number,
            name: field.into(),
            kind: kind_of(&kind),
            inlined: flags.contains('i'),
            list: flags.contains('r'),
            pointer: flags.contains('p'),
            omit_empty: flags.contains('o'),
            omit_zero: flags.contains('z'),
            go: go.into(),
        });
    }
    let mut by_number: Vec<usize> = (0..fields.len())
        .filter(|at| fields[*at].number != 0)
        .collect();
    by_number.sort_by_key(|at| fields[*at].number);
    Ok(Struct {
        name: name.into(),
        fields,
        by_number,
        sorted: OnceLock::new(),
    })
}

fn kind_of(text: &str) -> Kind {
    let props = || link("apiextensions/v1.JSONSchemaProps");
    match text {
        "string" => Kind::Str,
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "time" => Kind::Time,
        "microtime" => Kind::MicroTime,
        "quantity" => Kind::Quantity,
        "intstr" => Kind::IntStr,
        "raw" => Kind::Raw,
        "fields" => Kind::Fields,
        "json" => Kind::Json,
        "orbool" => Kind::OrBool(props()),
        "orarray" => Kind::OrArray(props()),
        "orstrings" => Kind::OrStrings(props()),
        other => match other.split_once(':') {
            Some(("map", inner)) => Kind::Map(Box::new(kind_of(inner))),
            Some(("items", inner)) => Kind::Items(Box::new(kind_of(inner))),
            _ => Kind::Struct(link(other)),
        },
    }
}

fn link(name: &str) -> Link {
    Link {
        name: name.into(),
        found: OnceLock::new(),
    }
}
