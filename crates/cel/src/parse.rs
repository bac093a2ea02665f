//! From text to a syntax tree: the parser of the `cel` crate with Kubernetes' macros.
use std::sync::LazyLock;

use cel::Env;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr,
    SourceInfo, operators,
};
use cel::parser::{Macro, MacroExprHelper, ParseError};

use crate::error::{CompileError, Complaint};

/// The variable that comprehensions gather their result in.
pub const ACCUMULATOR: &str = "@result";
/// Marks a comprehension that only names a value (`cel.bind`, `optMap`).
pub const UNUSED: &str = "#unused";
const SOURCE_MAX: usize = 256 * 1024;
const DEPTH_MAX: u16 = 250;

/// A parsed expression and where its nodes stand in the text.
pub struct Parsed {
    pub expression: IdedExpr,
    pub places: SourceInfo,
}

static ENVIRONMENT: LazyLock<Env> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(true);
    for two in two_variable_macros() {
        // Each is there once, as a unit test makes sure.
        let _ = env.add_macro(two);
    }
    let _ = env.add_macro(Macro::receiver("sortBy", 2, sort_by));
    env
});

/// The tree of an expression.
pub fn parse(source: &str) -> Result<Parsed, CompileError> {
    if source.len() > SOURCE_MAX {
        let text = format!(
            "expression code point size exceeds limit: size: {}, limit {SOURCE_MAX}",
            source.len()
        );
        return Err(CompileError::new(
            source,
            vec![Complaint { at: (1, 0), text }],
        ));
    }
    let parser = ENVIRONMENT.parser().max_recursion_depth(DEPTH_MAX);
    match parser.parse_with_source_info(source) {
        Ok((expression, places)) => Ok(Parsed { expression, places }),
        Err(found) => {
            let complaints = found
                .errors
                .into_iter()
                .map(|one| complaint(&one))
                .collect();
            Err(CompileError::new(source, complaints))
        }
    }
}

fn complaint(error: &ParseError) -> Complaint {
    let (line, column) = error.pos;
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let text = if error.msg.starts_with("Syntax error") || error.msg.contains("argument") {
        error.msg.clone()
    } else {
        format!("Syntax error: {}", error.msg)
    };
    Complaint {
        at: (line, column),
        text,
    }
}

type Helper<'a> = MacroExprHelper<'a>;
type Expansion = Result<Option<IdedExpr>, ParseError>;

fn call(helper: &mut Helper<'_>, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    helper.next_expr(Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args,
    }))
}

fn ident(helper: &mut Helper<'_>, name: &str) -> IdedExpr {
    helper.next_expr(Expr::Ident(name.to_owned()))
}

fn boolean(helper: &mut Helper<'_>, value: bool) -> IdedExpr {
    helper.next_expr(Expr::Literal(LiteralValue::Boolean(value.into())))
}

fn whole(helper: &mut Helper<'_>, value: i64) -> IdedExpr {
    helper.next_expr(Expr::Literal(LiteralValue::Int(value.into())))
}

fn simple_name(helper: &Helper<'_>, given: IdedExpr) -> Result<String, ParseError> {
    match given.expr {
        Expr::Ident(name) if name == ACCUMULATOR => Err(helper.new_error(
            given.id,
            "iteration variable overwrites accumulator variable",
        )),
        Expr::Ident(name) => Ok(name),
        _ => Err(helper.new_error(given.id, "argument must be a simple name")),
    }
}

/// What differs between the two-variable macros.
#[derive(Clone, Copy)]
enum Two {
    All,
    Exists,
    ExistsOne,
    List,
    Map,
    Entry,
}

fn two_variable_macros() -> Vec<Macro> {
    let kinds = [
        ("all", 3, Two::All),
        ("exists", 3, Two::Exists),
        ("existsOne", 3, Two::ExistsOne),
        ("exists_one", 3, Two::ExistsOne),
        ("transformList", 3, Two::List),
        ("transformList", 4, Two::List),
        ("transformMap", 3, Two::Map),
        ("transformMap", 4, Two::Map),
        ("transformMapEntry", 3, Two::Entry),
        ("transformMapEntry", 4, Two::Entry),
    ];
    let made = kinds.into_iter().map(|(name, count, kind)| {
        Macro::receiver(name, count, move |helper, target, args| {
            two(kind, helper, target, args)
        })
    });
    made.collect()
}

fn two(
    kind: Two,
    helper: &mut Helper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Expansion {
    let Some(range) = target.take() else {
        return Ok(None);
    };
    let mut given = std::mem::take(args).into_iter();
    let (Some(one), Some(other)) = (given.next(), given.next()) else {
        return Ok(None);
    };
    let at = other.id;
    let (first, second) = (simple_name(helper, one)?, simple_name(helper, other)?);
    if first == second {
        return Err(helper.new_error(at, format!("duplicate variable name: {first}")));
    }
    let mut rest: Vec<IdedExpr> = given.collect();
    let Some(body) = rest.pop() else {
        return Ok(None);
    };
    let filter = rest.pop();
    let accumulator = ident(helper, ACCUMULATOR);
    let (init, cond, mut step, result);
    match kind {
        Two::All => {
            init = boolean(helper, true);
            let so_far = ident(helper, ACCUMULATOR);
            cond = call(helper, operators::NOT_STRICTLY_FALSE, vec![so_far]);
            step = call(helper, operators::LOGICAL_AND, vec![accumulator, body]);
            result = ident(helper, ACCUMULATOR);
        }
        Two::Exists => {
            init = boolean(helper, false);
            let so_far = ident(helper, ACCUMULATOR);
            let not = call(helper, operators::LOGICAL_NOT, vec![so_far]);
            cond = call(helper, operators::NOT_STRICTLY_FALSE, vec![not]);
            step = call(helper, operators::LOGICAL_OR, vec![accumulator, body]);
            result = ident(helper, ACCUMULATOR);
        }
        Two::ExistsOne => {
            init = whole(helper, 0);
            cond = boolean(helper, true);
            let one = whole(helper, 1);
            let more = call(helper, operators::ADD, vec![accumulator, one]);
            let same = ident(helper, ACCUMULATOR);
            step = call(helper, operators::CONDITIONAL, vec![body, more, same]);
            let count = ident(helper, ACCUMULATOR);
            let one = whole(helper, 1);
            result = call(helper, operators::EQUALS, vec![count, one]);
        }
        Two::List => {
            init = helper.next_expr(Expr::List(ListExpr::new(vec![])));
            cond = boolean(helper, true);
            let item = helper.next_expr(Expr::List(ListExpr::new(vec![body])));
            step = call(helper, operators::ADD, vec![accumulator, item]);
            result = ident(helper, ACCUMULATOR);
        }
        Two::Map | Two::Entry => {
            init = helper.next_expr(Expr::Map(MapExpr::default()));
            cond = boolean(helper, true);
            let mut inserted = vec![accumulator];
            if matches!(kind, Two::Map) {
                inserted.push(ident(helper, &first));
            }
            inserted.push(body);
            step = call(helper, "cel.@mapInsert", inserted);
            result = ident(helper, ACCUMULATOR);
        }
    }
    if let Some(filter) = filter {
        let same = ident(helper, ACCUMULATOR);
        step = call(helper, operators::CONDITIONAL, vec![filter, step, same]);
    }
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(
        ComprehensionExpr {
            iter_range: range,
            iter_var: first,
            iter_var2: Some(second),
            accu_var: ACCUMULATOR.to_owned(),
            accu_init: init,
            loop_cond: cond,
            loop_step: step,
            result,
        },
    )))))
}

/// `list.sortBy(x, key)`: the list is named, its keys are gathered, both are sorted together.
fn sort_by(
    helper: &mut Helper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Expansion {
    const INPUT: &str = "@__sortBy_input__";
    let Some(range) = target.take() else {
        return Ok(None);
    };
    let mut given = std::mem::take(args).into_iter();
    let (Some(variable), Some(key)) = (given.next(), given.next()) else {
        return Ok(None);
    };
    let variable = simple_name(helper, variable)?;
    let init = helper.next_expr(Expr::List(ListExpr::new(vec![])));
    let cond = boolean(helper, true);
    let so_far = ident(helper, ACCUMULATOR);
    let item = helper.next_expr(Expr::List(ListExpr::new(vec![key])));
    let step = call(helper, operators::ADD, vec![so_far, item]);
    let result = ident(helper, ACCUMULATOR);
    let input = ident(helper, INPUT);
    let keys = helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: input,
        iter_var: variable,
        iter_var2: None,
        accu_var: ACCUMULATOR.to_owned(),
        accu_init: init,
        loop_cond: cond,
        loop_step: step,
        result,
    })));
    let list = ident(helper, INPUT);
    let sorted = helper.next_expr(Expr::Call(CallExpr {
        func_name: "@sortByAssociatedKeys".to_owned(),
        target: Some(Box::new(list)),
        args: vec![keys],
    }));
    Ok(Some(bind(helper, INPUT, range, sorted)))
}

fn bind(helper: &mut Helper<'_>, name: &str, value: IdedExpr, result: IdedExpr) -> IdedExpr {
    let iter_range = helper.next_expr(Expr::List(ListExpr::new(vec![])));
    let loop_cond = boolean(helper, false);
    let loop_step = ident(helper, name);
    helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: UNUSED.to_owned(),
        iter_var2: None,
        accu_var: name.to_owned(),
        accu_init: value,
        loop_cond,
        loop_step,
        result,
    })))
}

/// How deeply an expression nests.
#[must_use]
pub fn depth(root: &IdedExpr) -> usize {
    let mut most = 0;
    let mut waiting = vec![(root, 1)];
    let mut inner = Vec::new();
    while let Some((node, level)) = waiting.pop() {
        most = most.max(level);
        children(&node.expr, &mut inner);
        waiting.extend(inner.drain(..).map(|one| (one, level + 1)));
    }
    most
}

/// Add the parts of an expression to `out`.
pub fn children<'a>(of: &'a Expr, out: &mut Vec<&'a IdedExpr>) {
    match of {
        Expr::Select(select) => out.push(&select.operand),
        Expr::Call(call) => out.extend(call.target.as_deref().into_iter().chain(&call.args)),
        Expr::List(list) => out.extend(&list.elements),
        Expr::Map(map) => map.entries.iter().for_each(|one| parts(&one.expr, out)),
        Expr::Struct(made) => made.entries.iter().for_each(|one| parts(&one.expr, out)),
        Expr::Comprehension(one) => out.extend([
            &one.iter_range,
            &one.accu_init,
            &one.loop_cond,
            &one.loop_step,
            &one.result,
        ]),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn parts<'a>(entry: &'a EntryExpr, out: &mut Vec<&'a IdedExpr>) {
    match entry {
        EntryExpr::MapEntry(one) => out.extend([&one.key, &one.value]),
        EntryExpr::StructField(one) => out.push(&one.value),
    }
}
