//! The derive macro of wgrad's modules; use it as `wgrad::nn::Module`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Index, LitStr, Member, parse_macro_input};

/// Implements `nn::Parameters` for a struct: all its fields are parts of it, named as they are, those of a tuple by number.
///
/// A field is a tensor (a parameter where it was made with `requires_grad`, else a buffer), a layer or another struct with this derive, a
/// `nn::Mode`, or an `Option`, `Vec` or array of these. A field of any other type does not compile, so that none is forgotten, unless it says
/// that it is no part: `#[module(skip)]`. `#[module(name = "…")]` gives another name in state dictionaries.
///
/// Examples stand at `nn` and at `nn::Member`.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// What the attributes of a field say.
#[derive(Default)]
struct Options {
    skip: bool,
    name: Option<LitStr>,
}

impl Options {
    fn of(field: &syn::Field) -> syn::Result<Options> {
        let mut options = Options::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    options.skip = true;
                    Ok(())
                } else if meta.path.is_ident("name") {
                    options.name = Some(meta.value()?.parse()?);
                    Ok(())
                } else {
                    Err(meta.error("known are `skip` and `name = \"…\"`"))
                }
            })?;
        }
        match &options.name {
            Some(name) if options.skip => Err(Error::new(name.span(), "a field that is skipped has no name")),
            _ => Ok(options),
        }
    }
}

fn implement(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        _ => {
            return Err(Error::new(input.ident.span(), "only structs are modules; implement `nn::Parameters` by hand"));
        }
    };
    if let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("module")) {
        return Err(Error::new(attribute.span(), "stands on fields"));
    }
    let (mut shared, mut exclusive, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
    for (i, field) in fields.iter().enumerate() {
        let options = Options::of(field)?;
        if options.skip {
            continue;
        }
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index::from(i)),
        };
        let name = options.name.unwrap_or_else(|| match &field.ident {
            Some(ident) => LitStr::new(&ident.to_string(), ident.span()),
            None => LitStr::new(&i.to_string(), Span::call_site()),
        });
        // At the type, so that the error of one that is no part points there.
        let span = field.ty.span();
        shared.push(quote_spanned! {span=> members.add(#name, &self.#member); });
        exclusive.push(quote_spanned! {span=> members.add(&mut self.#member); });
        let ty = &field.ty;
        bounds.push(quote! { #ty: ::wgrad::nn::Member });
    }
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    // Whether a field of a parameter's type is a part depends on what it stands for.
    let generic = input.generics.type_params().next().is_some();
    let given = where_clause.map(|clause| clause.predicates.iter().collect::<Vec<_>>()).unwrap_or_default();
    let (members, members_mut) = match matches!(fields, Fields::Unit) || shared.is_empty() {
        true => (quote!(_members), quote!(_members)),
        false => (quote!(members), quote!(members)),
    };
    let predicates = if generic {
        quote! { where #(#given,)* #(#bounds,)* Self: ::core::marker::Send + ::core::marker::Sync }
    } else {
        quote! { #where_clause }
    };
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::wgrad::nn::Parameters for #ident #type_generics #predicates {
            fn members(&self, #members: &mut ::wgrad::nn::Members) {
                #(#shared)*
            }

            fn members_mut(&mut self, #members_mut: &mut ::wgrad::nn::MembersMut) {
                #(#exclusive)*
            }
        }
    })
}
