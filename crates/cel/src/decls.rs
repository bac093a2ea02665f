//! The functions of Kubernetes' CEL environment and what they take and give.
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::types::{self, Type};

/// One way to call a function.
#[derive(Debug)]
pub struct Overload {
    /// Called on a target, which is the first of `arguments`.
    pub member: bool,
    pub arguments: Vec<Type>,
    pub result: Type,
    pub parameters: Vec<char>,
}

/// One function for each line: its name and its overloads. `string.(int)bool` is called on a
/// string. Comparable types `C` and summable types `S` stand for one overload for each of them.
const TABLE: &str = "
!_ (bool)bool
@not_strictly_false (bool)bool
-_ (int)int (double)double
_&&_ (bool,bool)bool
_||_ (bool,bool)bool
_?_:_ (bool,A,A)A
_==_ (A,A)bool
_!=_ (A,A)bool
_<_ (X,X)bool
_<=_ (X,X)bool
_>_ (X,X)bool
_>=_ (X,X)bool
_+_ (bytes,bytes)bytes (double,double)double (duration,duration)duration (duration,timestamp)timestamp (timestamp,duration)timestamp (int,int)int (list(A),list(A))list(A) (string,string)string (uint,uint)uint
_-_ (double,double)double (duration,duration)duration (int,int)int (timestamp,duration)timestamp (timestamp,timestamp)duration (uint,uint)uint
_*_ (double,double)double (int,int)int (uint,uint)uint
_/_ (double,double)double (int,int)int (uint,uint)uint
_%_ (int,int)int (uint,uint)uint
_[_] (list(A),int)A (map(A,B),A)B (optional_type(list(V)),int)optional_type(V) (optional_type(map(K,V)),K)optional_type(V)
_[?_] (list(V),int)optional_type(V) (optional_type(list(V)),int)optional_type(V) (map(K,V),K)optional_type(V) (optional_type(map(K,V)),K)optional_type(V)
@in (A,list(A))bool (A,map(A,B))bool
size (bytes)int bytes.()int (list(A))int list(A).()int (map(A,B))int map(A,B).()int (string)int string.()int
type (A)type(A)
bool (bool)bool (string)bool
bytes (bytes)bytes (string)bytes
double (double)double (int)double (string)double (uint)double
duration (duration)duration (int)duration (string)duration
dyn (A)dyn
int (int)int (double)int (duration)int (string)int (timestamp)int (uint)int
string (string)string (bool)string (bytes)string (double)string (duration)string (int)string (timestamp)string (uint)string (net.IP)string (net.CIDR)string
timestamp (timestamp)timestamp (int)timestamp (string)timestamp
uint (uint)uint (double)uint (int)uint (string)uint
matches (string,string)bool string.(string)bool
contains string.(string)bool
endsWith string.(string)bool
startsWith string.(string)bool
getDate timestamp.()int timestamp.(string)int
getDayOfMonth timestamp.()int timestamp.(string)int
getDayOfWeek timestamp.()int timestamp.(string)int
getDayOfYear timestamp.()int timestamp.(string)int
getFullYear timestamp.()int timestamp.(string)int
getHours timestamp.()int timestamp.(string)int duration.()int
getMilliseconds timestamp.()int timestamp.(string)int duration.()int
getMinutes timestamp.()int timestamp.(string)int duration.()int
getMonth timestamp.()int timestamp.(string)int
getSeconds timestamp.()int timestamp.(string)int duration.()int
optional.of (V)optional_type(V)
optional.ofNonZeroValue (V)optional_type(V)
optional.none ()optional_type(V)
optional.unwrap (list(optional_type(V)))list(V)
unwrapOpt list(optional_type(V)).()list(V)
value optional_type(V).()V
hasValue optional_type(V).()bool
or optional_type(V).(optional_type(V))optional_type(V)
orValue optional_type(V).(V)V
charAt string.(int)string
indexOf string.(string)int string.(string,int)int list(A).(A)int
lastIndexOf string.(string)int string.(string,int)int list(A).(A)int
lowerAscii string.()string
upperAscii string.()string
replace string.(string,string)string string.(string,string,int)string
split string.(string)list(string) string.(string,int)list(string)
substring string.(int)string string.(int,int)string
trim string.()string
join list(string).()string list(string).(string)string
format string.(list(dyn))string
strings.quote (string)string
sets.contains (list(A),list(A))bool
sets.equivalent (list(A),list(A))bool
sets.intersects (list(A),list(A))bool
isSorted list(C).()bool
sum list(S).()S
min list(C).()C
max list(C).()C
slice list(A).(int,int)list(A)
flatten list(list(A)).()list(A) list(dyn).(int)list(dyn)
sort list(C).()list(C)
@sortByAssociatedKeys list(A).(list(C))list(A)
lists.range (int)list(int)
distinct list(A).()list(A)
reverse list(A).()list(A)
first list(A).()optional_type(A)
last list(A).()optional_type(A)
cel.@mapInsert (map(K,V),K,V)map(K,V) (map(K,V),map(K,V))map(K,V)
find string.(string)string
findAll string.(string)list(string) string.(string,int)list(string)
url (string)url
isURL (string)bool
getScheme url.()string
getHost url.()string
getHostname url.()string
getPort url.()string
getEscapedPath url.()string
getQuery url.()map(string,list(string))
ip (string)net.IP net.CIDR.()net.IP
isIP (string)bool
ip.isCanonical (string)bool
family net.IP.()int
isUnspecified net.IP.()bool
isLoopback net.IP.()bool
isLinkLocalMulticast net.IP.()bool
isLinkLocalUnicast net.IP.()bool
isGlobalUnicast net.IP.()bool
cidr (string)net.CIDR
isCIDR (string)bool
containsIP net.CIDR.(string)bool net.CIDR.(net.IP)bool
containsCIDR net.CIDR.(string)bool net.CIDR.(net.CIDR)bool
prefixLength net.CIDR.()int
masked net.CIDR.()net.CIDR
quantity (string)quantity
isQuantity (string)bool
sign (quantity)int
isGreaterThan quantity.(quantity)bool semver.(semver)bool
isLessThan quantity.(quantity)bool semver.(semver)bool
compareTo quantity.(quantity)int semver.(semver)int
asApproximateFloat quantity.()double
asInteger quantity.()int
isInteger quantity.()bool
add quantity.(quantity)quantity quantity.(int)quantity
sub quantity.(quantity)quantity quantity.(int)quantity
semver (string)semver (string,bool)semver
isSemver (string)bool (string,bool)bool
major semver.()int
minor semver.()int
patch semver.()int
format.named (string)optional_type(format)
format.dns1123Label ()format
format.dns1123Subdomain ()format
format.dns1035Label ()format
format.qualifiedName ()format
format.dns1123LabelPrefix ()format
format.dns1123SubdomainPrefix ()format
format.dns1035LabelPrefix ()format
format.labelValue ()format
format.uri ()format
format.uuid ()format
format.byte ()format
format.date ()format
format.datetime ()format
validate format.(string)optional_type(list(string))
path authorizer.(string)path_check
group authorizer.(string)group_check
serviceAccount authorizer.(string,string)authorizer
resource group_check.(string)resource_check
subresource resource_check.(string)resource_check
namespace resource_check.(string)resource_check
name resource_check.(string)resource_check
fieldSelector resource_check.(string)resource_check
labelSelector resource_check.(string)resource_check
check path_check.(string)decision resource_check.(string)decision
errored decision.()bool
error decision.()string
allowed decision.()bool
reason decision.()string
jsonpatch.escapeKey (string)string
";

const COMPARABLE: &[&str] = &[
    "int",
    "uint",
    "double",
    "bool",
    "duration",
    "timestamp",
    "string",
    "bytes",
];
const SUMMABLE: &[&str] = &["int", "uint", "double", "duration"];
/// Pairs that the ordering operators take; numbers of different kinds compare with each other.
const ORDERED: &[(&str, &str)] = &[
    ("bool", "bool"),
    ("int", "int"),
    ("int", "double"),
    ("int", "uint"),
    ("uint", "uint"),
    ("uint", "double"),
    ("uint", "int"),
    ("double", "double"),
    ("double", "int"),
    ("double", "uint"),
    ("string", "string"),
    ("bytes", "bytes"),
    ("timestamp", "timestamp"),
    ("duration", "duration"),
];

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            Some((name, rest.split(' ').flat_map(overloads).collect()))
        })
        .collect()
});

/// The overloads of a function; `None`: there is no such function.
#[must_use]
pub fn find(name: &str) -> Option<&'static [Overload]> {
    FUNCTIONS.get(name).map(Vec::as_slice)
}

fn overloads(text: &str) -> Vec<Overload> {
    let replaced = |letter: &str, kinds: &[&str]| -> Vec<Overload> {
        // Whole words only: `C` stands alone between brackets, commas and the end.
        kinds
            .iter()
            .filter_map(|kind| overload(&swap(text, letter, kind)))
            .collect()
    };
    if has(text, "X") {
        return ORDERED
            .iter()
            .filter_map(|(a, b)| overload(&format!("({a},{b})bool")))
            .collect();
    }
    if has(text, "C") {
        return replaced("C", COMPARABLE);
    }
    if has(text, "S") {
        return replaced("S", SUMMABLE);
    }
    overload(text).into_iter().collect()
}

fn has(text: &str, letter: &str) -> bool {
    swap(text, letter, "") != text
}

fn swap(text: &str, letter: &str, with: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' || c == '.' {
            word.push(c);
        } else {
            let bare = word.trim_end_matches('.');
            if bare == letter {
                out.push_str(with);
                out.push_str(&word[bare.len()..]);
            } else {
                out.push_str(&word);
            }
            word.clear();
            out.push(c);
        }
    }
    out.truncate(out.len() - 1);
    out
}

fn overload(text: &str) -> Option<Overload> {
    // The argument list starts at the bracket after `.`, or at the beginning.
    let (target, rest) = match text.find(".(") {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    };
    let mut depth = 0;
    let close = rest.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (depth == 0).then_some(at)
    })?;
    let mut arguments: Vec<Type> = target
        .map(types::parse)
        .into_iter()
        .collect::<Option<_>>()?;
    let inner = &rest[1..close];
    if !inner.is_empty() {
        arguments.extend(
            split(inner)
                .into_iter()
                .map(types::parse)
                .collect::<Option<Vec<_>>>()?,
        );
    }
    let result = types::parse(&rest[close + 1..])?;
    let mut parameters: Vec<char> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.len() == 1 && word.chars().all(|c| c.is_ascii_uppercase()))
        .filter_map(|word| word.chars().next())
        .collect();
    parameters.sort_unstable();
    parameters.dedup();
    Some(Overload {
        member: target.is_some(),
        arguments,
        result,
        parameters,
    })
}

fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        for line in TABLE.lines().filter(|line| !line.is_empty()) {
            let (name, rest) = line.split_once(' ').unwrap_or(("", ""));
            for text in rest.split(' ') {
                assert!(!overloads(text).is_empty(), "{name}: {text}");
            }
            assert!(find(name).is_some_and(|all| !all.is_empty()), "{name}");
        }
    }

    #[test]
    fn members_have_their_target_first() {
        let found = find("slice").unwrap_or_default();
        assert!(found[0].member);
        assert_eq!(found[0].arguments.len(), 3);
        assert_eq!(found[0].result.to_string(), "list(A)");
    }
}
