//! Expressions of a given type.

use expr::func::{ArgType, FuncKind};
use repr::{RangeType, ScalarType};

use super::{Column, Generator, Scope};
use crate::signatures::Signature;
use crate::types::{array_of, base, column_types, literal, literal_or_null, null_of, typed};

impl Generator<'_> {
    /// An exact expression of a type, which is a base type.
    pub(super) fn expression(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> String {
        let start = self.tape.start_span();
        let sql = self.expression_of_some_form(scope, typ, depth);
        self.tape.end_span(start);
        sql
    }

    fn expression_of_some_form(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> String {
        if depth == 0 {
            return self.leaf(scope, typ);
        }
        let next = depth - 1;
        match self.tape.weighted(&[7, 6, 1, 1, 1, 1, 1]) {
            1 if *typ == ScalarType::Bool && self.tape.chance(60) => self.predicate(scope, next),
            1 => self.call(scope, typ, next).unwrap_or_else(|| self.leaf(scope, typ)),
            2 => {
                let condition = self.predicate(scope, next);
                let (then, other) = (self.expression(scope, typ, next), self.expression(scope, typ, next));
                format!("CASE WHEN {condition} THEN {then} ELSE {other} END")
            }
            3 => {
                let (first, second) = (self.expression(scope, typ, next), self.expression(scope, typ, next));
                format!("coalesce({first}, {second})")
            }
            4 => self.cast(scope, typ, next),
            5 if self.subqueries_left > 0 => self.scalar_subquery(scope, typ, next),
            6 => self.composite(scope, typ, next),
            _ => self.leaf(scope, typ),
        }
    }

    /// A column, if there is one, or a literal.
    fn leaf(&mut self, scope: &Scope, typ: &ScalarType) -> String {
        let of_type = |columns: &[Column]| -> Vec<Column> {
            columns.iter().filter(|column| column.exact && base(&column.typ) == *typ).cloned().collect()
        };
        let (local, outer) = (of_type(&scope.local), of_type(&scope.outer));
        let outer_wanted = !outer.is_empty() && (local.is_empty() || self.tape.chance(40));
        let columns = if outer_wanted { outer } else { local };
        if columns.is_empty() || self.tape.chance(15) {
            return literal_or_null(&mut self.tape, typ, self.taste, 10);
        }
        let column = self.tape.pick(&columns).clone();
        match column.typ {
            // Where the types of several expressions must agree, varchar would not be text.
            ScalarType::Varchar(_) => format!("{}::text", column.sql),
            _ => column.sql,
        }
    }

    /// A type that values of the scope have, or any.
    pub(super) fn some_type(&mut self, scope: &Scope) -> ScalarType {
        let columns: Vec<&Column> = scope.local.iter().filter(|column| column.exact).collect();
        if columns.is_empty() || self.tape.chance(25) {
            return base(self.tape.pick(&column_types()));
        }
        base(&self.tape.pick(&columns).typ)
    }

    fn call(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> Option<String> {
        self.call_of(scope, typ, depth, true)
    }

    /// A call that is exact or not, of exact arguments.
    pub(super) fn call_of(&mut self, scope: &Scope, typ: &ScalarType, depth: usize, exact: bool) -> Option<String> {
        let signatures = self.signatures;
        let candidates: Vec<_> =
            signatures.returning(typ).into_iter().filter(|(signature, _)| signature.exact == exact).collect();
        // Rather such as take what the scope has.
        let takes_column = |signature: &Signature| {
            let args = signature.def.args.iter().filter_map(|arg| arg.concrete());
            args.into_iter().any(|arg| scope.local.iter().any(|column| column.exact && base(&column.typ) == arg))
        };
        let prefer = self.tape.chance(60);
        let wanted: Vec<_> =
            candidates.iter().filter(|(signature, _)| prefer && takes_column(signature)).cloned().collect();
        let candidates = if wanted.is_empty() { candidates } else { wanted };
        // By name first, so that a function of many overloads is not called more often than others.
        let mut names: Vec<&str> = candidates.iter().map(|(signature, _)| signature.def.name).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        let name = *self.tape.pick(&names);
        let named: Vec<_> = candidates.iter().filter(|(signature, _)| signature.def.name == name).collect();
        let (signature, element) = *self.tape.pick(&named);
        let element = match element {
            Some(element) => element.clone(),
            None => self.element_type(scope, signature),
        };
        Some(self.call_signature(scope, signature, &element, depth))
    }

    /// What `anyelement` stands for in a call whose result does not say so.
    fn element_type(&mut self, scope: &Scope, signature: &Signature) -> ScalarType {
        let args = signature.def.args;
        if args.contains(&ArgType::AnyRange) {
            return self.tape.pick(&RangeType::ALL[..]).element();
        }
        if args.contains(&ArgType::AnyArray) {
            return self.tape.pick(&[ScalarType::Int4, ScalarType::Text]).clone();
        }
        self.some_type(scope)
    }

    fn call_signature(&mut self, scope: &Scope, signature: &Signature, element: &ScalarType, depth: usize) -> String {
        let def = signature.def;
        let more = def.variadic.map_or(0, |_| self.tape.between(1, 3));
        let declared = def.args.iter().copied().chain(def.variadic.into_iter().cycle().take(more));
        let args: Vec<String> = declared
            .enumerate()
            .map(|(position, arg)| self.argument(scope, signature, position, arg, element, depth))
            .collect();
        match (def.kind, &args[..]) {
            (FuncKind::Operator, [operand]) => format!("({} {operand})", def.name),
            (FuncKind::Operator, [left, right]) => format!("({left} {} {right})", def.name),
            // These have a grammar of their own.
            (_, [part, whole]) if def.name == "position" => format!("position({part} IN {whole})"),
            (_, [field, value]) if def.name == "extract" => {
                format!("extract({} FROM {value})", field.trim_matches('\''))
            }
            (_, [text, form]) if def.name == "normalize" => format!("normalize({text}, {})", form.trim_matches('\'')),
            _ => format!("{}({})", def.name, args.join(", ")),
        }
    }

    fn argument(
        &mut self,
        scope: &Scope,
        signature: &Signature,
        position: usize,
        arg: ArgType,
        element: &ScalarType,
        depth: usize,
    ) -> String {
        if let Some(texts) = signature.hint(position) {
            // The type stays open, as users write it: a path is a text for one database and a jsonpath for the other.
            return format!("'{}'", self.tape.pick(texts));
        }
        if signature.is_count(position) {
            let count = *self.tape.pick(&["1", "2", "0", "3", "-1"]);
            let typ = arg.concrete().expect("a whole number");
            return typed(count, &typ);
        }
        let typ = match arg {
            ArgType::AnyElement | ArgType::AnyCompatible => element.clone(),
            ArgType::AnyArray => array_of(element.clone()),
            ArgType::AnyRange => ScalarType::Range(RangeType::of_element(element).unwrap_or(RangeType::Int4)),
            // How numbers and arrays of them are spelled in a text or a document differs by trailing zeros.
            ArgType::Any => self.tape.pick(&[ScalarType::Text, ScalarType::Int4, ScalarType::Bool]).clone(),
            concrete => concrete.concrete().expect("a concrete type"),
        };
        self.expression(scope, &typ, depth)
    }

    /// A cast from another type that cannot fail for ordinary values.
    fn cast(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> String {
        use ScalarType::*;
        let sources: &[ScalarType] = match typ {
            Int2 => &[Int4, Int8],
            Int4 => &[Int2, Bool, Int8, Numeric(None), Float8],
            Int8 => &[Int4, Int2, Numeric(None)],
            Numeric(_) => &[Int4, Int8, Int2],
            Float8 => &[Int4, Numeric(None), Int8],
            Text => &[Int4, Bool, Date, Timestamp(None), Uuid, Jsonb, Int8, Time(None), Bytes, Interval(None), Float8],
            Date => &[Timestamp(None), TimestampTz(None)],
            Timestamp(_) => &[Date, TimestampTz(None)],
            TimestampTz(_) => &[Timestamp(None), Date],
            Time(_) => &[Timestamp(None)],
            Bool => &[Int4],
            Jsonb => return format!("to_jsonb({})", self.expression(scope, &Text, depth)),
            _ => return self.leaf(scope, typ),
        };
        let source = self.tape.pick(sources).clone();
        let value = self.expression(scope, &source, depth);
        format!("({value})::{}", repr::pg_type::sql_name(typ))
    }

    /// A value put together of others.
    fn composite(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> String {
        match typ {
            ScalarType::Array(element) => {
                let count = self.tape.between(1, 3);
                let elements: Vec<String> = (0..count).map(|_| self.expression(scope, element, depth)).collect();
                format!("ARRAY[{}]", elements.join(", "))
            }
            ScalarType::Int4 | ScalarType::Text => {
                let array = self.expression(scope, &array_of(typ.clone()), depth);
                format!("({array})[{}]", self.tape.pick(&["1", "2", "0", "-1"]))
            }
            ScalarType::Bool => self.predicate(scope, depth),
            _ => {
                let operand = self.expression(scope, typ, depth);
                format!("nullif({operand}, {})", literal(&mut self.tape, typ, self.taste))
            }
        }
    }

    /// A subquery of at most one row, nearly always.
    fn scalar_subquery(&mut self, scope: &Scope, typ: &ScalarType, depth: usize) -> String {
        self.subqueries_left -= 1;
        let outer = scope.outer_of_subquery();
        if self.tape.chance(50)
            && let Some(query) = self.single_aggregate(&outer, typ, depth.min(1))
        {
            return format!("({query})");
        }
        let query = self.plain_select(&outer, Some(std::slice::from_ref(typ)), depth.min(1));
        if !query.is_plain() {
            return null_of(typ);
        }
        let direction = self.tape.pick(&["", " DESC", " NULLS FIRST"]);
        format!("({} ORDER BY 1{direction} LIMIT 1)", query.sql)
    }
}
