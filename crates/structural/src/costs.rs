//! What the rules of a definition can cost at most, before they are run.
use crate::compile::{Additional, Node, Structure};

const REQUEST_MAX: u64 = 3 * 1024 * 1024;

/// The most that an expression of a rule can cost for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCost {
    /// The path of the rule in the schema: `properties[spec].x-kubernetes-validations[0]`.
    pub path: String,
    /// `rule` or `messageExpression`.
    pub field: &'static str,
    pub cost: u64,
}

impl Structure {
    /// What each expression can cost, what is inside before what is around it. A rule costs as
    /// often as its values can be there; a message is made at most once.
    #[must_use]
    pub fn rule_costs(&self) -> Vec<RuleCost> {
        let mut found = Vec::new();
        self.root.rule_costs("", Some(1), &mut found);
        found
    }
}

impl Node {
    fn rule_costs(&self, path: &str, times: Option<u64>, found: &mut Vec<RuleCost>) {
        if !self.has_rules {
            return;
        }
        let inner = times.and_then(|times| Some(times.saturating_mul(self.elements()?)));
        if let Additional::Schema(one) = &self.additional {
            one.rule_costs(&format!("{path}.additionalProperties"), inner, found);
        }
        let mut names: Vec<_> = self.properties.keys().collect();
        names.sort();
        for name in names {
            self.properties[name].rule_costs(&format!("{path}.properties[{name}]"), inner, found);
        }
        if let Some(one) = &self.items {
            one.rule_costs(&format!("{path}.items"), inner, found);
        }
        let Some(rules) = &self.rules else { return };
        // As often as values of the least size fit into a request, with a comma between them.
        let least = rules.schema.as_ref().map_or(0, |schema| schema.min_size);
        let times = times.unwrap_or(REQUEST_MAX / (least + 1));
        for at in 0..rules.rules.len() {
            let Ok(compiled) = rules.compiled(at) else {
                continue;
            };
            let path = format!("{path}.x-kubernetes-validations[{at}]");
            let path = path.trim_start_matches('.').to_owned();
            found.push(RuleCost {
                path: path.clone(),
                field: "rule",
                cost: compiled.program.most().saturating_mul(times),
            });
            if let Some(message) = &compiled.message {
                found.push(RuleCost {
                    path,
                    field: "messageExpression",
                    cost: message.most(),
                });
            }
        }
    }

    /// How many values are inside of one; `None`: any number.
    fn elements(&self) -> Option<u64> {
        let bound = |most: Option<i64>| most.map(|most| u64::try_from(most).unwrap_or(0));
        match self.kind.as_deref() {
            Some("object") if !matches!(self.additional, Additional::Unsaid) => {
                bound(self.members.1)
            }
            Some("array") => bound(self.count.1),
            _ => Some(1),
        }
    }
}
