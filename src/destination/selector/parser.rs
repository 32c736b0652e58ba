//! From the text of a selector to what it means.

use super::expression::{Comparison, Expression};
use super::lexer::{Kind, Lexer, Token};
use super::like::Like;
use super::value::Operand;
use super::{DEPTH_MAX, SelectorError};

type Parsed<T> = Result<T, SelectorError>;

#[derive(Debug)]
struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The one to look at next.
    token: Token<'a>,
    depth: usize,
}

const VALUE: &str = "a header or a value";
const NUMBER: &str = "a number or a header";

/// They name no header, unless it is written as `headers.NAME`.
const KEYWORDS: [&str; 10] = ["and", "or", "not", "in", "like", "between", "is", "null", "true", "false"];

const OPERATORS: [(&str, Comparison); 14] = [
    ("=", Comparison::Equal),
    ("<>", Comparison::NotEqual),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Same),
    ("!=", Comparison::Different),
    ("eq", Comparison::Same),
    ("ne", Comparison::Different),
    ("lt", Comparison::Less),
    ("le", Comparison::LessOrEqual),
    ("gt", Comparison::Greater),
    ("ge", Comparison::GreaterOrEqual),
];

pub(super) fn parse(text: &str) -> Parsed<Expression> {
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let mut parser = Parser { lexer, token, depth: 0 };
    let expression = parser.or()?;
    if parser.token.kind == Kind::End { Ok(expression) } else { Err(parser.unexpected("AND, OR or the end")) }
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed<Expression> {
        self.chain("or", "||", Self::and, Expression::Any)
    }

    fn and(&mut self) -> Parsed<Expression> {
        self.chain("and", "&&", Self::not, Expression::All)
    }

    /// As wide as it gets, and no deeper.
    fn chain(
        &mut self,
        word: &str,
        sign: &str,
        part: fn(&mut Self) -> Parsed<Expression>,
        whole: fn(Vec<Expression>) -> Expression,
    ) -> Parsed<Expression> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.takes_word(word)? || self.takes_sign(sign)? {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { whole(parts) })
    }

    fn not(&mut self) -> Parsed<Expression> {
        let at = self.token.at;
        if self.takes_word("not")? || self.takes_sign("!")? {
            return self.deeper(at, Self::not).map(negate);
        }
        if self.takes_sign("(")? {
            let inner = self.deeper(at, Self::or)?;
            self.sign(")", "`)`")?;
            return Ok(inner);
        }
        self.predicate()
    }

    fn deeper(&mut self, at: usize, part: fn(&mut Self) -> Parsed<Expression>) -> Parsed<Expression> {
        if self.depth == DEPTH_MAX {
            return Err(SelectorError::Deep { at });
        }
        self.depth += 1;
        let inner = part(self);
        self.depth -= 1;
        inner
    }

    fn predicate(&mut self) -> Parsed<Expression> {
        let first = self.token.clone();
        let left = self.operand(VALUE)?;
        if let Some(comparison) = self.comparison()? {
            let right = if comparison.is_order() {
                check_number(&first, &left)?;
                self.number()?
            } else {
                self.compared(comparison)?
            };
            return Ok(Expression::Compare(left, comparison, right));
        }
        if self.takes_word("is")? {
            let is_negated = self.takes_word("not")?;
            self.word("null", "NULL")?;
            return Ok(negate_if(is_negated, Expression::IsNull(left)));
        }
        let is_negated = self.takes_word("not")?;
        if self.takes_word("like")? {
            return Ok(negate_if(is_negated, Expression::Like(left, self.like()?)));
        }
        if self.takes_word("in")? {
            return Ok(negate_if(is_negated, self.listed(&left)?));
        }
        if self.takes_word("between")? {
            check_number(&first, &left)?;
            return Ok(negate_if(is_negated, self.between(left)?));
        }
        match left {
            Operand::Bool(_) | Operand::Header(_) if !is_negated => Ok(Expression::IsTrue(left)),
            Operand::Bool(_) | Operand::Header(_) => Err(self.unexpected("LIKE, IN or BETWEEN")),
            Operand::Null | Operand::Number(_) | Operand::Text(_) => Err(self.unexpected("a comparison")),
        }
    }

    fn comparison(&mut self) -> Parsed<Option<Comparison>> {
        let is_it = |it: &&(&str, _)| self.token.is_sign(it.0) || self.token.is_word(it.0);
        let Some((_, comparison)) = OPERATORS.iter().find(is_it) else { return Ok(None) };
        self.advance()?;
        Ok(Some(*comparison))
    }

    /// What stands after an operator that is not about order.
    fn compared(&mut self, comparison: Comparison) -> Parsed<Operand> {
        let is_sql = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if is_sql && self.token.is_word("null") {
            return Err(self.unexpected("a header or a value (IS NULL asks for an absent header)"));
        }
        self.operand(VALUE)
    }

    fn like(&mut self) -> Parsed<Like> {
        let at = self.token.clone();
        let pattern = self.text("a pattern in quotes")?;
        let mut escape = None;
        if self.takes_word("escape")? {
            let at = self.token.clone();
            let text = self.text("one character in quotes")?;
            let mut chars = text.chars();
            escape = chars.next();
            if escape.is_none() || chars.next().is_some() {
                return Err(at.unexpected("one character in quotes"));
            }
        }
        Like::new(&pattern, escape).ok_or_else(|| at.unexpected("a pattern that does not end with its escape"))
    }

    fn listed(&mut self, left: &Operand) -> Parsed<Expression> {
        self.sign("(", "`(`")?;
        let mut parts = Vec::new();
        loop {
            let value = self.compared(Comparison::Equal)?;
            parts.push(Expression::Compare(left.clone(), Comparison::Equal, value));
            if !self.takes_sign(",")? {
                break;
            }
        }
        self.sign(")", "`,` or `)`")?;
        Ok(Expression::Any(parts))
    }

    fn between(&mut self, left: Operand) -> Parsed<Expression> {
        let low = self.number()?;
        self.word("and", "AND")?;
        let high = self.number()?;
        let from = Expression::Compare(left.clone(), Comparison::GreaterOrEqual, low);
        Ok(Expression::All(vec![from, Expression::Compare(left, Comparison::LessOrEqual, high)]))
    }

    fn number(&mut self) -> Parsed<Operand> {
        let at = self.token.clone();
        let operand = self.operand(NUMBER)?;
        check_number(&at, &operand)?;
        Ok(operand)
    }

    fn operand(&mut self, expected: &'static str) -> Parsed<Operand> {
        let operand = match &self.token.kind {
            Kind::Number(it) => Operand::Number(*it),
            Kind::Text(it) => Operand::Text(it.clone()),
            Kind::Word if self.token.is_word("true") => Operand::Bool(true),
            Kind::Word if self.token.is_word("false") => Operand::Bool(false),
            Kind::Word if self.token.is_word("null") => Operand::Null,
            Kind::Word if self.token.text == "headers" => return self.header(),
            Kind::Word if !KEYWORDS.iter().any(|it| self.token.is_word(it)) => Operand::Header(self.token.text.into()),
            Kind::End | Kind::Sign | Kind::Word => return Err(self.unexpected(expected)),
        };
        self.advance()?;
        Ok(operand)
    }

    /// After `headers`.
    fn header(&mut self) -> Parsed<Operand> {
        self.advance()?;
        if self.takes_sign(".")? {
            if self.token.kind != Kind::Word {
                return Err(self.unexpected("the name of a header"));
            }
            return Ok(Operand::Header(self.advance()?.text.into()));
        }
        self.sign("[", "`.` or `[`")?;
        let name = self.text("the name of a header in quotes")?;
        self.sign("]", "`]`")?;
        Ok(Operand::Header(name))
    }

    fn text(&mut self, expected: &'static str) -> Parsed<Box<str>> {
        let Kind::Text(text) = &self.token.kind else { return Err(self.unexpected(expected)) };
        let text = text.clone();
        self.advance()?;
        Ok(text)
    }

    fn takes_word(&mut self, word: &str) -> Parsed<bool> {
        let is_there = self.token.is_word(word);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn takes_sign(&mut self, sign: &str) -> Parsed<bool> {
        let is_there = self.token.is_sign(sign);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn word(&mut self, word: &str, expected: &'static str) -> Parsed<()> {
        if self.takes_word(word)? { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn sign(&mut self, sign: &str, expected: &'static str) -> Parsed<()> {
        if self.takes_sign(sign)? { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// Returns the token that it leaves behind.
    fn advance(&mut self) -> Parsed<Token<'a>> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn unexpected(&self, expected: &'static str) -> SelectorError {
        self.token.unexpected(expected)
    }
}

/// Order is about numbers alone; what a header holds is known later.
fn check_number(at: &Token<'_>, operand: &Operand) -> Parsed<()> {
    match operand {
        Operand::Header(_) | Operand::Number(_) => Ok(()),
        Operand::Bool(_) | Operand::Null | Operand::Text(_) => Err(at.unexpected(NUMBER)),
    }
}

fn negate(expression: Expression) -> Expression {
    Expression::Not(Box::new(expression))
}

fn negate_if(is_negated: bool, expression: Expression) -> Expression {
    if is_negated { negate(expression) } else { expression }
}
