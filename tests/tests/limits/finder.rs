//! Finds the awaits without a limit in a file of the product, as far as names and places tell.

use std::collections::{HashMap, HashSet};

use syn::{
    Attribute, Block, Expr, ExprAwait, ExprCall, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Local, Macro,
    Member, Meta, Pat,
    visit::{self, Visit},
};

use crate::{
    macros::parts,
    names::{is_limit, is_wait},
};

/// An await on a server, a thread or a process that stands under no limit where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) file: String,
    pub(crate) function: String,
    /// What is awaited: a method, a function with its path, or a field.
    pub(crate) name: String,
}

/// The waits without a limit in this file, outside of tests.
pub(crate) fn unlimited_waits(file: &str, source: &str) -> Vec<Wait> {
    let mut finder = Finder { file, functions: Vec::new(), limits: 0, found: Vec::new() };
    finder.visit_file(&syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}")));
    finder.found
}

struct Finder<'a> {
    file: &'a str,
    /// The function that is visited, and those around it.
    functions: Vec<Function>,
    /// How many limits stand around what is visited.
    limits: usize,
    found: Vec<Wait>,
}

struct Function {
    name: String,
    /// Local names that are passed to a limit.
    limited: HashSet<String>,
    /// What local names stand for.
    locals: HashMap<String, String>,
}

impl Finder<'_> {
    fn function(&mut self, name: String, attributes: &[Attribute], block: &Block) {
        if is_of_tests(attributes) {
            return;
        }
        let mut passed = PassedToLimits::default();
        passed.visit_block(block);
        self.functions.push(Function { name, limited: passed.0, locals: HashMap::new() });
        // A function is not called where it is written.
        let limits = std::mem::take(&mut self.limits);
        self.visit_block(block);
        self.limits = limits;
        self.functions.pop();
    }

    fn under(&mut self, is_limited: bool, visit: impl FnOnce(&mut Self)) {
        self.limits += usize::from(is_limited);
        visit(self);
        self.limits -= usize::from(is_limited);
    }

    fn awaited(&mut self, future: &Expr) {
        let name = self.name_of(future);
        if self.limits == 0 && is_wait(self.file, &name) {
            let function = self.functions.last().map(|function| function.name.clone()).unwrap_or_default();
            self.found.push(Wait { file: self.file.to_owned(), function, name });
        }
        // A future that is handed on is awaited by whoever gets it.
        let arguments = match future {
            Expr::MethodCall(call) if !is_limit(&call.method.to_string()) => &call.args,
            Expr::Call(call) if !is_limit(&path_of(&call.func)) => &call.args,
            _ => return,
        };
        for argument in
            arguments.iter().filter(|argument| matches!(argument, Expr::Call(_) | Expr::MethodCall(_)))
        {
            self.awaited(argument);
        }
    }

    /// What an expression waits for, if it is awaited.
    fn name_of(&self, future: &Expr) -> String {
        match future {
            // These give a future that waits for the same.
            Expr::MethodCall(call)
                if ["instrument", "map_err", "boxed"].iter().any(|name| call.method == name) =>
            {
                self.name_of(&call.receiver)
            }
            Expr::Call(call) if path_of(&call.func) == "Box::pin" => {
                call.args.first().map(|future| self.name_of(future)).unwrap_or_default()
            }
            Expr::MethodCall(call) => call.method.to_string(),
            Expr::Call(call) => path_of(&call.func),
            Expr::Field(field) => match &field.member {
                Member::Named(name) => name.to_string(),
                Member::Unnamed(_) => String::new(),
            },
            Expr::Reference(reference) => self.name_of(&reference.expr),
            Expr::Paren(paren) => self.name_of(&paren.expr),
            Expr::Try(tried) => self.name_of(&tried.expr),
            Expr::Path(_) => {
                let name = path_of(future);
                let function = self.functions.last();
                function.and_then(|function| function.locals.get(&name).cloned()).unwrap_or(name)
            }
            _ => String::new(),
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_of_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(function.sig.ident.to_string(), &function.attrs, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(function.sig.ident.to_string(), &function.attrs, &function.block);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        let Some(init) = &local.init else { return };
        let name = match &local.pat {
            Pat::Ident(pattern) => pattern.ident.to_string(),
            _ => String::new(),
        };
        let is_limited = self.functions.last().is_some_and(|function| function.limited.contains(&name));
        self.under(is_limited, |finder| visit::visit_local_init(finder, init));
        let stands_for = self.name_of(&init.expr);
        if let Some(function) = self.functions.last_mut() {
            function.locals.insert(name, stands_for);
        }
    }

    fn visit_expr_await(&mut self, awaiting: &'ast ExprAwait) {
        self.awaited(&awaiting.base);
        visit::visit_expr_await(self, awaiting);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.under(is_limit(&path_of(&call.func)), |finder| visit::visit_expr_call(finder, call));
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.visit_expr(&call.receiver);
        self.under(is_limit(&call.method.to_string()), |finder| {
            call.args.iter().for_each(|argument| finder.visit_expr(argument));
        });
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        let parts = parts(called);
        parts.futures.iter().for_each(|future| self.awaited(future));
        parts.futures.iter().chain(&parts.others).for_each(|part| self.visit_expr(part));
    }
}

/// The local names that are passed to a limit.
#[derive(Default)]
struct PassedToLimits(HashSet<String>);

impl PassedToLimits {
    fn arguments<'a>(&mut self, of: &str, arguments: impl Iterator<Item = &'a Expr>) {
        if is_limit(of) {
            self.0.extend(arguments.map(path_of).filter(|name| !name.is_empty()));
        }
    }
}

impl<'ast> Visit<'ast> for PassedToLimits {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.arguments(&path_of(&call.func), call.args.iter());
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.arguments(&call.method.to_string(), call.args.iter());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        let parts = parts(called);
        parts.futures.iter().chain(&parts.others).for_each(|part| self.visit_expr(part));
    }
}

/// A name with its path; empty for any other expression.
pub(crate) fn path_of(expression: &Expr) -> String {
    let Expr::Path(path) = expression else { return String::new() };
    path.path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}
