//! Macros, inside of which awaits are hidden from `syn`.

use syn::{
    Expr, Macro, Pat, Token,
    parse::{ParseStream, Parser},
    punctuated::Punctuated,
};

/// What a macro is given.
#[derive(Default)]
pub(crate) struct Parts {
    /// The futures that the macro itself awaits.
    pub(crate) futures: Vec<Expr>,
    /// All other expressions.
    pub(crate) others: Vec<Expr>,
}

/// Reads what a macro is given: `select!`, `join!`, or a list of expressions.
pub(crate) fn parts(called: &Macro) -> Parts {
    let name = called.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    let tokens = || called.tokens.clone();
    let list = || Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens()).map(Vec::from_iter);
    let parsed = match name.as_str() {
        "select" => branches.parse2(tokens()),
        "join" | "try_join" => list().map(|futures| Parts { futures, ..Parts::default() }),
        _ => list().map(|others| Parts { others, ..Parts::default() }),
    };
    parsed.unwrap_or_else(|error| {
        let hides_an_await = called.tokens.to_string().contains(". await");
        assert!(!hides_an_await, "cannot read the macro {name}!, in which something is awaited: {error}");
        Parts::default()
    })
}

/// The branches of `tokio::select!`: `pattern = future, if condition => then`.
fn branches(input: ParseStream<'_>) -> syn::Result<Parts> {
    let mut parts = Parts::default();
    while !input.is_empty() {
        if input.fork().parse::<syn::Ident>().is_ok_and(|word| word == "biased") {
            input.parse::<syn::Ident>()?;
            input.parse::<Token![;]>()?;
            continue;
        }
        if input.parse::<Option<Token![else]>>()?.is_none() {
            Pat::parse_multi_with_leading_vert(input)?;
            input.parse::<Token![=]>()?;
            parts.futures.push(input.parse()?);
            if input.parse::<Option<Token![,]>>()?.is_some() {
                input.parse::<Token![if]>()?;
                parts.others.push(input.parse()?);
            }
        }
        input.parse::<Token![=>]>()?;
        parts.others.push(Expr::parse_with_earlier_boundary_rule(input)?);
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(parts)
}
