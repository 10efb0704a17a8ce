//! Handlers, put together.

use std::fmt;
use std::sync::Arc;

use super::layer::wrap;
use super::{Erased, Handler, Layer, erase};

/// Handlers by topic, with layers around them: for a server
/// ([`Builder::routes`](crate::server::Builder::routes)), for a client
/// ([`Client::routes`](crate::client::Client::routes)), or to be nested in another.
///
/// ```
/// use bowline_driver::handler::{Params, Router, State, Text, timeout};
/// use std::time::Duration;
///
/// async fn price(State(factor): State<u32>, Params(p): Params) -> String {
///     format!("{}: {}", p["name"], factor * 2)
/// }
/// async fn note(Text(text): Text) {
///     println!("{text}");
/// }
///
/// // "shop/{name}/price" is served, and "shop/notes/#" listened to.
/// let shop = Router::new().serve("{name}/price", price).on("notes/#", note);
/// let all: Router = Router::new().nest("shop", shop.layer(timeout(Duration::from_secs(1)))).with_state(21);
/// ```
pub struct Router<S = ()> {
    routes: Vec<Route<S>>,
    /// The outermost first; not around the handlers yet.
    layers: Vec<Arc<dyn Layer<S>>>,
}

/// A handler, and what for.
pub(crate) struct Route<S> {
    pub(crate) pattern: String,
    pub(crate) serves: bool,
    pub(crate) handler: Erased<S>,
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes =
            self.routes.iter().map(|route| (if route.serves { "serve" } else { "on" }, &route.pattern));
        f.debug_struct("Router")
            .field("layers", &self.layers.len())
            .field("routes", &routes.collect::<Vec<_>>())
            .finish()
    }
}

impl<S> Default for Router<S> {
    fn default() -> Self {
        Self { routes: Vec::new(), layers: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// Without handlers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `handler` for each message whose topic matches `pattern`: a filter, in which `{name}`
    /// stands for `+` and gives that level a name ([`Params`](super::Params)). One at a time, in order;
    /// what waits meanwhile is bounded as for any session of the hub. Nobody is told what it returns, but
    /// [`Builder::on_failed`](crate::server::Builder::on_failed) is where that is no good.
    #[must_use]
    pub fn on<A>(self, pattern: &str, handler: impl Handler<A, S>) -> Self {
        self.with(pattern, false, erase(handler))
    }

    /// Answers the requests whose topic matches `pattern` with what `handler` returns. Many at once
    /// ([`Builder::concurrency`](crate::server::Builder::concurrency)); one that panics is answered with
    /// REJECTED; one whose answer nobody waits for any more is dropped. Where several match a topic, each
    /// gets its turn.
    #[must_use]
    pub fn serve<A>(self, pattern: &str, handler: impl Handler<A, S>) -> Self {
        self.with(pattern, true, erase(handler))
    }

    fn with(mut self, pattern: &str, serves: bool, handler: Erased<S>) -> Self {
        self.routes.push(Route { pattern: pattern.into(), serves, handler });
        self
    }

    /// With a layer around all handlers, those that are added later and nested ones too; within the layers
    /// that were added before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer<S>) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// With another's handlers as well, whose layers stay around them alone.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.finish());
        self
    }

    /// The same, with `prefix` and a `/` in front of their patterns. In a prefix, too, `{name}` names a level.
    /// A pattern's `$share/GROUP/` stays in front of all.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        let nested =
            other.finish().into_iter().map(|route| Route { pattern: join(prefix, &route.pattern), ..route });
        self.routes.extend(nested);
        self
    }

    /// With a state that handlers can take ([`State`](super::State)): a clone for each call, so put an
    /// [`Arc`] around what is large. What comes of it fits into routers of any state.
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(self, state: S) -> Router<T> {
        let with = |Route { pattern, serves, handler }| {
            let state = state.clone();
            let handler: Erased<T> = Arc::new(move |call| handler(call.with_state(state.clone())));
            Route { pattern, serves, handler }
        };
        Router { routes: self.finish().into_iter().map(with).collect(), layers: Vec::new() }
    }

    /// Puts the layers around the handlers.
    pub(crate) fn finish(self) -> Vec<Route<S>> {
        let Self { routes, layers } = self;
        let within =
            |handler| layers.iter().rev().fold(handler, |inner, layer| wrap(Arc::clone(layer), inner));
        routes.into_iter().map(|route| Route { handler: within(route.handler), ..route }).collect()
    }
}

fn join(prefix: &str, pattern: &str) -> String {
    let shared = pattern.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    match shared {
        Some((group, filter)) => format!("$share/{group}/{prefix}/{filter}"),
        None => format!("{prefix}/{pattern}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_put_in_front_of_filters() {
        assert_eq!(join("a/{b}", "c/#"), "a/{b}/c/#");
        assert_eq!(join("a", "$share/g/c"), "$share/g/a/c");
        let inner = Router::<()>::new().serve("x", async || {}).on("y", async || {});
        let both = Router::new().nest("in", Router::new().nest("most", inner)).serve("z", async || {});
        let routes = both.finish().into_iter().map(|r| (r.pattern, r.serves)).collect::<Vec<_>>();
        let expected = [("in/most/x", true), ("in/most/y", false), ("z", true)];
        assert_eq!(routes, expected.map(|(pattern, serves)| (pattern.to_owned(), serves)));
    }
}
