//! Evaluations of functions and casts, listed in `scripts/*.txt` with what they give.
//!
//! A line is `key(arguments) => result`, the key that of a table entry, or `cast(value, type)` and `assign(value, type)`.
//! An argument is NULL or a text in quotes, of the type the entry declares unless `::type` says otherwise. An error is
//! printed as `!SQLSTATE message`. `REWRITE=1` writes down what comes.

use std::path::PathBuf;

use expr::cast::{CastContext, cast};
use expr::func::{self, ArgType, Func};
use expr::scalar::Scalar;
use repr::{Arena, Datum, NumericSpec, ScalarType};

#[test]
fn functions_give_what_the_scripts_say() {
    let rewrite = std::env::vars().any(|(name, _)| name == "REWRITE");
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut wrong = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&directory).expect("scripts").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for path in files {
        let script = std::fs::read_to_string(&path).expect("a script");
        let run: String = script.lines().map(|line| run_line(line) + "\n").collect();
        if run != script && rewrite {
            std::fs::write(&path, &run).expect("a script that can be written");
        } else if run != script {
            let pairs = script.lines().zip(run.lines()).filter(|(expected, found)| expected != found);
            wrong.extend(pairs.map(|(expected, found)| format!("- {expected}\n+ {found}")));
        }
    }
    assert!(wrong.is_empty(), "results differ; REWRITE=1 accepts:\n{}", wrong.join("\n"));
}

/// The line with what its call gives now.
fn run_line(line: &str) -> String {
    if line.is_empty() || line.starts_with('#') {
        return line.to_owned();
    }
    let call = line.split(" => ").next().expect("a call");
    let (key, args) = call.split_once('(').unwrap_or_else(|| panic!("no call: {line}"));
    let args = split_args(args.strip_suffix(')').unwrap_or_else(|| panic!("no end: {line}")));
    format!("{call} => {}", evaluate(key, &args))
}

/// An argument as written: its text, if not NULL, and its type, if given.
struct Arg {
    text: Option<String>,
    typ: Option<String>,
}

fn split_args(text: &str) -> Vec<Arg> {
    let mut args = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut value = None;
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut out = String::new();
            let mut characters = quoted.char_indices().peekable();
            while let Some((index, character)) = characters.next() {
                if character == '\'' {
                    if characters.peek().is_some_and(|(_, next)| *next == '\'') {
                        characters.next();
                    } else {
                        rest = &quoted[index + 1..];
                        break;
                    }
                }
                out.push(character);
            }
            value = Some(out);
        }
        let mut depth = 0;
        let end = rest.find(|character| {
            depth += i32::from(character == '(') - i32::from(character == ')');
            character == ',' && depth == 0
        });
        let (bare, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.trim_start_matches(',').trim_start();
        let (bare, typ) = match bare.split_once("::") {
            Some((bare, typ)) => (bare, Some(typ.to_owned())),
            None => (bare, None),
        };
        if value.is_none() && bare.trim() != "NULL" {
            value = Some(bare.trim().to_owned());
        }
        args.push(Arg { text: value, typ });
    }
    args
}

fn type_of(name: &str) -> ScalarType {
    let (base, modifiers) = match name.split_once('(') {
        Some((base, rest)) => {
            (base, rest.trim_end_matches(')').split(',').map(|n| n.parse().expect("a number")).collect())
        }
        None => (name, Vec::<u32>::new()),
    };
    let typ = repr::pg_type::from_name(base).or_else(|| {
        let element = base.strip_suffix(" list").or_else(|| base.strip_prefix("map=>"))?;
        let element = Box::new(type_of(element));
        Some(if base.ends_with(" list") { ScalarType::List(element) } else { ScalarType::Map(element) })
    });
    match (typ.unwrap_or_else(|| panic!("no type: {name}")), &modifiers[..]) {
        (typ, []) => typ,
        (ScalarType::Numeric(_), [precision, scale]) => {
            ScalarType::Numeric(Some(NumericSpec { precision: *precision as u8, scale: *scale as i8 }))
        }
        (ScalarType::Varchar(_), [length]) => ScalarType::Varchar(Some(*length)),
        (ScalarType::Char(_), [length]) => ScalarType::Char(Some(*length)),
        (ScalarType::Timestamp(_), [precision]) => ScalarType::Timestamp(Some(*precision as u8)),
        (typ, modifiers) => panic!("{typ:?} with {modifiers:?}"),
    }
}

fn evaluate(key: &str, args: &[Arg]) -> String {
    let arena = Arena::new();
    if let ("cast" | "assign", [value, target]) = (key, args) {
        let context = if key == "cast" { CastContext::Explicit } else { CastContext::Assignment };
        let to = type_of(target.text.as_deref().expect("a type"));
        let from = type_of(value.typ.as_deref().unwrap_or("text"));
        let Some(value) = parse(value, &from, &arena) else { return "!unreadable".to_owned() };
        return match cast(Scalar::literal(value, from.clone()), &from, &to, context) {
            Some(scalar) => show(&scalar, &to),
            None => "!no cast".to_owned(),
        };
    }
    let func = func::by_key(key).unwrap_or_else(|| panic!("no function {key}"));
    let mut scalars = Vec::new();
    let mut types = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let declared = func.args.get(index).copied().or(func.variadic).unwrap_or_else(|| panic!("too many for {key}"));
        let typ = match (&arg.typ, declared.concrete()) {
            (Some(typ), _) => type_of(typ),
            (None, Some(typ)) => typ,
            (None, None) => ScalarType::Text,
        };
        let Some(datum) = parse(arg, &typ, &arena) else { return "!unreadable".to_owned() };
        scalars.push(Scalar::literal(datum, typ.clone()));
        types.push(typ);
    }
    let ret = return_type(func, &types);
    show(&Scalar::call(func, scalars, types, ret.clone()), &ret)
}

fn parse<'a>(arg: &Arg, typ: &ScalarType, arena: &'a Arena) -> Option<Datum<'a>> {
    match &arg.text {
        Some(text) => repr::text::parse(text, typ, arena).ok(),
        None => Some(Datum::Null),
    }
}

fn return_type(func: Func, args: &[ScalarType]) -> ScalarType {
    if let Some(typ) = func.returns.concrete() {
        return typ;
    }
    let of = |wanted: ArgType| {
        let declared = func.args.iter().copied().chain(func.variadic);
        declared.zip(args).find(|(declared, _)| *declared == wanted).map(|(_, typ)| typ.clone())
    };
    let container = || of(ArgType::AnyArray).or_else(|| of(ArgType::AnyList)).or_else(|| of(ArgType::AnyMap));
    let element = || match container() {
        _ if of(ArgType::AnyRange).is_some() => match of(ArgType::AnyRange) {
            Some(ScalarType::Range(range)) => range.element(),
            other => panic!("no range: {other:?}"),
        },
        Some(ScalarType::Array(element) | ScalarType::List(element) | ScalarType::Map(element)) => *element,
        _ => of(ArgType::AnyElement).unwrap_or(ScalarType::Text),
    };
    match func.returns {
        ArgType::AnyArray => match container().or_else(|| of(ArgType::AnyElement)) {
            Some(array @ ScalarType::Array(_)) => array,
            _ => ScalarType::Array(Box::new(element())),
        },
        ArgType::AnyList => ScalarType::List(Box::new(element())),
        ArgType::AnyRange => of(ArgType::AnyRange).expect("a range"),
        ArgType::AnyMap => ScalarType::Map(Box::new(args[1].clone())),
        ArgType::Record => ScalarType::Record(args.iter().map(|arg| (String::new(), arg.clone().nullable())).collect()),
        _ => of(ArgType::AnyElement).unwrap_or_else(element),
    }
}

/// Evaluates as it is and simplified, which must agree.
fn show(scalar: &Scalar, typ: &ScalarType) -> String {
    let print = |scalar: &Scalar| {
        let arena = Arena::new();
        match scalar.eval(&[], &arena) {
            Ok(Datum::Null) => "NULL".to_owned(),
            Ok(datum) => {
                let mut out = String::new();
                repr::text::format(datum, typ, &mut out);
                format!("'{}'", out.replace('\n', "\\n"))
            }
            Err(error) => format!("!{} {}", error.code(), error.message),
        }
    };
    let mut reduced = scalar.clone();
    reduced.reduce(&[]);
    let (plain, reduced) = (print(scalar), print(&reduced));
    assert_eq!(plain, reduced, "simplification changes {scalar}");
    plain
}
