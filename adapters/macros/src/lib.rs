//! What Bowline's runtimes derive: types of messages, and enums of them. Use it by the feature `macros`
//! of the runtime's crate (`bowline-tokio` and the others), whose `handler` module has both.
//!
//! ```ignore
//! use bowline_tokio::handler::{MessageType, Messages, Typed};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, MessageType)]
//! #[message(name = "order.place")]
//! struct Place { item: String }
//!
//! #[derive(Messages)]
//! enum Order {
//!     /// A variant with one value is read as that; it has the value's own name here.
//!     #[message(name = "order.place")]
//!     Place(Place),
//!     /// One with fields is read as an object of them.
//!     #[message(name = "order.cancel")]
//!     Cancel { number: u64 },
//!     /// One without has no value, and the name `List`.
//!     List,
//! }
//!
//! async fn order(Typed(order): Typed<Order>) -> String {
//!     match order {
//!         Order::Place(Place { item }) => format!("{item} is on its way"),
//!         Order::Cancel { number } => format!("{number} is no more"),
//!         Order::List => "nothing".into(),
//!     }
//! }
//! ```
//!
//! | attribute | on | says |
//! |---|---|---|
//! | `#[message(name = "…")]` | a struct or enum, a variant | its name on the wire; by default its name in Rust |
//! | `#[messages(crate = path)]` | the struct or enum | where the `handler` module's crate is, if not in the dependencies by its own name |
//!
//! Attributes of serde on the fields of a variant are kept.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, FieldsNamed, LitStr, Path, Variant, parse_macro_input,
};

/// Gives a type of message its name: `#[message(name = "…")]`, or what it is called in Rust.
#[proc_macro_derive(MessageType, attributes(message, messages))]
pub fn message_type(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    type_of(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes the variants of an enum types of messages.
#[proc_macro_derive(Messages, attributes(message, messages, serde))]
pub fn messages(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    enum_of(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn type_of(input: &DeriveInput) -> Result<TokenStream, Error> {
    let (root, ident) = (root(&input.attrs)?, &input.ident);
    let name = name(&input.attrs, &ident.to_string())?;
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics #root::handler::MessageType for #ident #types #bounds {
            const NAME: &'static str = #name;
        }
    })
}

fn enum_of(input: &DeriveInput) -> Result<TokenStream, Error> {
    let Data::Enum(data) = &input.data else {
        let what = "Messages is for an enum, each variant of which is a type of message; for a struct there is MessageType";
        return Err(Error::new(input.ident.span(), what));
    };
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), "an enum of messages has at least one variant"));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "an enum of messages has no generic parameters"));
    }
    let (root, ident) = (root(&input.attrs)?, &input.ident);
    let mut names: Vec<String> = Vec::new();
    let (mut read, mut told) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        let name = name(&variant.attrs, &variant.ident.to_string())?;
        if names.contains(&name) {
            let what = format!("two variants are called {name:?}: give one another #[message(name = \"…\")]");
            return Err(Error::new(variant.ident.span(), what));
        }
        read.push(reading(&root, variant, &name)?);
        let variant = &variant.ident;
        told.push(quote!(Self::#variant { .. } => #name));
        names.push(name);
    }
    Ok(quote! {
        #[automatically_derived]
        impl #root::handler::Messages for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn decode(
                message: &#root::handler::Encoded<'_>,
            ) -> ::core::result::Result<Self, #root::handler::Failure> {
                match message.name() {
                    #(#read,)*
                    _ => ::core::result::Result::Err(message.unknown(Self::NAMES)),
                }
            }

            fn name(&self) -> &'static str {
                match self { #(#told,)* }
            }
        }
    })
}

/// The arm that reads a variant.
fn reading(root: &Path, variant: &Variant, name: &str) -> Result<TokenStream, Error> {
    let ident = &variant.ident;
    match &variant.fields {
        Fields::Unit => Ok(quote!(#name => ::core::result::Result::Ok(Self::#ident))),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let value = &fields.unnamed[0].ty;
            Ok(quote!(#name => message.read::<#value>().map(Self::#ident)))
        }
        Fields::Unnamed(fields) => {
            let what = "a variant of messages has one value, fields with names, or nothing";
            Err(Error::new(fields.span(), what))
        }
        Fields::Named(fields) => Ok(named(root, variant, fields, name)),
    }
}

/// A struct of the variant's fields, as serde reads it.
fn named(root: &Path, variant: &Variant, fields: &FieldsNamed, name: &str) -> TokenStream {
    let (ident, of) = (&variant.ident, format_ident!("{}Fields", variant.ident));
    let serde = quote!(#root::handler::__serde).to_string();
    let fields = fields.named.iter();
    let idents: Vec<_> = fields.clone().map(|field| &field.ident).collect();
    let fields = fields.map(|field| {
        let (ident, ty) = (&field.ident, &field.ty);
        let attrs = field.attrs.iter().filter(|attr| attr.path().is_ident("serde"));
        quote!(#(#attrs)* #ident: #ty)
    });
    quote! {
        #name => {
            #[derive(#root::handler::__serde::Deserialize)]
            #[serde(crate = #serde)]
            struct #of { #(#fields,)* }
            message.read::<#of>().map(|#of { #(#idents),* }| Self::#ident { #(#idents),* })
        }
    }
}

/// `#[message(name = "…")]`.
fn name(attrs: &[Attribute], default: &str) -> Result<String, Error> {
    let mut name = default.to_owned();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("message")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("a message has only a `name`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            name = text.value();
            if name.is_empty() {
                Err(Error::new(text.span(), "a message's name is not empty"))
            } else {
                Ok(())
            }
        })?;
    }
    Ok(name)
}

/// Where the `handler` module is: what the attribute says, or the first of Bowline's crates that the
/// user's own depends on.
fn root(attrs: &[Attribute]) -> Result<Path, Error> {
    let mut root = None;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("messages")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("there is only `crate`"));
            }
            root = Some(meta.value()?.call(Path::parse_mod_style)?);
            Ok(())
        })?;
    }
    if let Some(root) = root {
        return Ok(root);
    }
    let all = ["bowline-tokio", "bowline-smol", "bowline-async-std", "bowline-blocking", "bowline-driver"];
    let found = all.iter().find_map(|name| Some((name, crate_name(name).ok()?)));
    let ident = match found {
        Some((name, FoundCrate::Itself)) => name.replace('-', "_"),
        Some((_, FoundCrate::Name(name))) => name,
        None => {
            let what = "none of Bowline's runtimes is among the dependencies: say #[messages(crate = path)]";
            return Err(Error::new(Span::call_site(), what));
        }
    };
    let ident = format_ident!("{ident}");
    Ok(syn::parse_quote!(::#ident))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn refused(input: &DeriveInput) -> String {
        enum_of(input).map_or_else(|e| e.to_string(), |tokens| format!("taken: {tokens}"))
    }

    #[test]
    fn what_is_no_enum_of_messages_is_explained() {
        assert_eq!(
            refused(&parse_quote!(
                struct A {
                    b: u8,
                }
            )),
            "Messages is for an enum, each variant of which is a type of message; for a struct there is MessageType"
        );
        assert_eq!(
            refused(&parse_quote!(
                enum A {}
            )),
            "an enum of messages has at least one variant"
        );
        assert_eq!(
            refused(&parse_quote!(
                enum A<T> {
                    B(T),
                }
            )),
            "an enum of messages has no generic parameters"
        );
        assert_eq!(
            refused(&parse_quote!(
                #[messages(crate = x)]
                enum A {
                    B(u8, u8),
                }
            )),
            "a variant of messages has one value, fields with names, or nothing"
        );
        assert_eq!(
            refused(&parse_quote!(
                #[messages(crate = x)]
                enum A {
                    B,
                    #[message(name = "B")]
                    C,
                }
            )),
            "two variants are called \"B\": give one another #[message(name = \"…\")]"
        );
    }

    #[test]
    fn attributes_that_make_no_sense_are_explained() {
        let with = |attr: Attribute| refused(&parse_quote!(#[messages(crate = x)] enum A { #attr B }));
        assert_eq!(with(parse_quote!(#[message(nam = "b")])), "a message has only a `name`");
        assert_eq!(with(parse_quote!(#[message(name = "")])), "a message's name is not empty");
        assert_eq!(with(parse_quote!(#[message(name = 5)])), "expected string literal");
        assert_eq!(
            refused(&parse_quote!(
                #[messages(krate = x)]
                enum A {
                    B,
                }
            )),
            "there is only `crate`"
        );
        assert_eq!(
            refused(&parse_quote!(
                enum A {
                    B,
                }
            )),
            "none of Bowline's runtimes is among the dependencies: say #[messages(crate = path)]"
        );
    }

    #[test]
    fn names_are_those_of_rust_or_of_the_attribute() {
        let input = parse_quote!(
            #[messages(crate = a::b)]
            #[message(name = "x.y")]
            struct A<T: Copy>(T);
        );
        let code = type_of(&input).unwrap().to_string();
        assert!(code.contains("impl < T : Copy > a :: b :: handler :: MessageType for A < T >"), "{code}");
        assert!(code.contains("\"x.y\""), "{code}");
        let input = parse_quote!(
            #[messages(crate = a)]
            enum A {
                B,
                #[message(name = "c")]
                C {
                    #[serde(default)]
                    d: u8,
                },
            }
        );
        let code = enum_of(&input).unwrap().to_string();
        assert!(code.contains("[\"B\" , \"c\"]") && code.contains("# [serde (default)] d : u8"), "{code}");
    }
}
