//! Which functions of a file call a limit.

use std::collections::BTreeSet;

use syn::{
    Block, ExprCall, ExprMethodCall, ImplItemFn, ItemFn, Macro,
    visit::{self, Visit},
};

use crate::{finder::path_of, macros::parts};

/// The functions and methods in which something is called whose name `is_meant`; also in a closure, a block or a macro of theirs.
pub(crate) fn functions_that_call(source: &str, is_meant: fn(&str) -> bool) -> BTreeSet<String> {
    let mut functions = Functions { is_meant, found: BTreeSet::new() };
    functions.visit_file(&syn::parse_file(source).unwrap_or_else(|error| panic!("{error}")));
    functions.found
}

struct Functions {
    is_meant: fn(&str) -> bool,
    found: BTreeSet<String>,
}

impl Functions {
    fn function(&mut self, name: String, block: &Block) {
        let mut calls = Calls { is_meant: self.is_meant, is_found: false };
        calls.visit_block(block);
        if calls.is_found {
            self.found.insert(name);
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(function.sig.ident.to_string(), &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.function(function.sig.ident.to_string(), &function.block);
    }
}

struct Calls {
    is_meant: fn(&str) -> bool,
    is_found: bool,
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        self.is_found |= (self.is_meant)(&path_of(&call.func));
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.is_found |= (self.is_meant)(&call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        let parts = parts(called);
        parts.futures.iter().chain(&parts.others).for_each(|part| self.visit_expr(part));
    }
}
