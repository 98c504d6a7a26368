//! Handlers: what serves the calls of a peer.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use futures_util::FutureExt as _;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::FutureExt as _;

use super::call::{Call, Described, OnDrop, error_type};
use super::connection::{Handle, TracedConnection};
use super::message::Message;
use super::shared::Shared;
use crate::envelope::is_method;
use crate::error::{Error, ErrorKind};

type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Handler = dyn Fn(Call) -> HandlerFuture + Send + Sync;
type MessageFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type MessageHandler = dyn Fn(TracedConnection, Message) -> MessageFuture + Send + Sync;

/// Why a handler failed: the error type that the peer and the span get, and the error itself for this side.
///
/// Every error converts into it, so `?` works in a handler; the type is then the bare name of the error's type, or the
/// kind of one of Wirespan's own errors.
pub struct Failure {
    error_type: String,
    source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    /// Makes a failure of a type and a message. The type goes to the peer, the message stays here.
    #[must_use]
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            source: message.into().into(),
        }
    }

    /// The error type.
    #[must_use]
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// The error.
    #[must_use]
    pub fn error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.source
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.source)
    }
}

// As with anyhow, a type into which every error converts cannot itself be one.
impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error_type: error_type(&error),
            source: Box::new(error),
        }
    }
}

/// The handlers of a connection or server, by method.
///
/// A handler runs inside the SERVER span of its call, or the CONSUMER span of a transfer. When it returns, its direction
/// and the span end; an error fails the call and is logged; a panic fails it with `panic`, and the connection lives on.
/// At most `max_running` handlers run at once on a connection, further calls wait. A method without a handler is
/// answered `unknown_method`.
#[derive(Default)]
pub struct Handlers {
    by_method: HashMap<String, Arc<Handler>>,
    fallback: Option<Arc<Handler>>,
    on_message: Option<Arc<MessageHandler>>,
}

impl Handlers {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a method. Only methods that are named here can name a span.
    #[must_use]
    pub fn on<H, F>(mut self, method: impl Into<String>, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.by_method.insert(method.into(), boxed(handler));
        self
    }

    /// Serves calls of every other method, and those without one.
    #[must_use]
    pub fn fallback<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.fallback = Some(boxed(handler));
        self
    }

    /// Gets the messages outside every call, one after the other, each inside the context that it came with.
    #[must_use]
    pub fn on_message<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(TracedConnection, Message) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.on_message = Some(Arc::new(move |connection, message| {
            Box::pin(handler(connection, message)) as MessageFuture
        }));
        self
    }

    /// The methods that have a handler.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.by_method.keys().map(String::as_str)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match self.methods().find(|method| !is_method(method)) {
            Some(method) => Err(Error::invalid_argument(
                "method",
                format!("must be 1 to 128 visible ASCII characters, not {method:?}"),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn takes_messages(&self) -> bool {
        self.on_message.is_some()
    }

    pub(super) fn serves(&self, method: Option<&str>) -> bool {
        self.find(method).is_some()
    }

    fn find(&self, method: Option<&str>) -> Option<&Arc<Handler>> {
        method
            .and_then(|method| self.by_method.get(method))
            .or(self.fallback.as_ref())
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("methods", &self.by_method.keys())
            .field("fallback", &self.fallback.is_some())
            .field("on_message", &self.on_message.is_some())
            .finish()
    }
}

fn boxed<H, F>(handler: H) -> Arc<Handler>
where
    H: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    Arc::new(move |call| Box::pin(handler(call)))
}

/// How the tasks that serve a connection hold it.
#[derive(Clone, Debug)]
pub(super) enum Hold {
    /// It lives as long as its peer wants, also when the application drops its handle.
    Strong(TracedConnection),
    /// It closes with the application's last handle.
    Weak(Weak<Handle>),
}

impl Hold {
    fn connection(&self) -> Option<TracedConnection> {
        match self {
            Self::Strong(connection) => Some(connection.clone()),
            Self::Weak(handle) => handle.upgrade().map(TracedConnection::from_handle),
        }
    }
}

/// Runs the handlers of a connection.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    shared: Arc<Shared>,
    handlers: Arc<Handlers>,
    hold: Hold,
}

impl Runner {
    /// Makes one, and starts the task that serves messages outside every call, if they have a handler.
    pub(super) fn start(shared: Arc<Shared>, handlers: Arc<Handlers>, hold: Hold) -> Self {
        if let Some(on_message) = handlers.on_message.clone() {
            tokio::spawn(serve_messages(
                Arc::clone(&shared),
                on_message,
                hold.clone(),
            ));
        }
        Self {
            shared,
            handlers,
            hold,
        }
    }

    /// Starts the handlers of the calls that have come, as far as they may run. The task that reads does this itself: a task
    /// between would be one more to wake for each call.
    pub(super) fn start_waiting(&self) {
        while let Some(call) = self.shared.start_next() {
            let running = Running::new(&self.shared, call);
            tokio::spawn(self.clone().run(running));
        }
    }

    /// Runs the handler of a call, and then those of calls that have waited for their turn.
    async fn run(self, mut running: Running) {
        loop {
            let Some(connection) = self.hold.connection() else {
                return;
            };
            if let Some(handler) = self.handlers.find(running.call.method.as_deref()) {
                running.run(connection, &**handler).await;
            }
            drop(running);
            match self.shared.start_next() {
                Some(call) => running = Running::new(&self.shared, call),
                None => return,
            }
        }
    }
}

async fn serve_messages(shared: Arc<Shared>, on_message: Arc<MessageHandler>, hold: Hold) {
    while let Some(message) = shared.next_plain().await {
        let Some(connection) = hold.connection() else {
            return;
        };
        let context = message.context().cloned().unwrap_or_default();
        // The handler itself may panic before it gives its future.
        let handled = AssertUnwindSafe(async { on_message(connection, message).await });
        if handled.catch_unwind().with_context(context).await.is_err() {
            log::error!("wirespan: the handler of plain messages panicked");
        }
    }
}

/// A call whose handler runs. However that ends, so does the call.
struct Running {
    shared: Arc<Shared>,
    call: Described,
    over: bool,
}

impl Running {
    /// Of a call that has been counted as running.
    fn new(shared: &Arc<Shared>, call: Described) -> Self {
        Self {
            shared: Arc::clone(shared),
            call,
            over: false,
        }
    }

    async fn run(&mut self, connection: TracedConnection, handler: &Handler) {
        // The caller may have cancelled while the call waited for its turn.
        if self.shared.wants_handler(self.call.key) {
            let mut call = Call::new(connection.clone(), self.call.clone(), OnDrop::Nothing);
            let given = Call::new(connection, self.call.clone(), OnDrop::Nothing);
            let context: OtelContext = self.call.context.clone();
            let handled = AssertUnwindSafe(async { handler(given).await });
            match handled.catch_unwind().with_context(context).await {
                Ok(Ok(())) => call.leave(),
                Ok(Err(failure)) => {
                    // That the peer cancelled, or has gone, is no failure of the handler.
                    let level = if self.shared.wants_handler(self.call.key) {
                        log::Level::Error
                    } else {
                        log::Level::Debug
                    };
                    log::log!(
                        level,
                        "wirespan: the handler of {:?} failed: {failure}",
                        self.method()
                    );
                    call.fail_with(&failure);
                }
                Err(_) => {
                    log::error!("wirespan: the handler of {:?} panicked", self.method());
                    call.fail(ErrorKind::Panic.name());
                }
            }
        }
        self.over = true;
    }

    fn method(&self) -> &str {
        self.call.method.as_deref().unwrap_or("")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let key = self.call.key;
        if !self.over {
            // The task was dropped: the runtime stops.
            self.shared.finish(|core, now_ns| core.cancel(key, now_ns));
        }
        self.shared.handler_stops(key);
    }
}
