//! Calls and transfers.

use std::any::Any;
use std::fmt;

use futures_util::{Stream, stream};
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;

use super::connection::TracedConnection;
use super::handlers::Failure;
use super::message::{Message, Outgoing};
use crate::connection::StreamKey;
use crate::envelope::Kind;
use crate::error::{Error, ErrorKind};
use crate::metrics::Summary;
use crate::names::wire_error;

/// One invocation over a connection, seen from either side; for a handler also a transfer of the peer.
///
/// Dropping the call of a caller leaves it: my direction ends, and what is still to come of the reply is abandoned. For
/// a call that fails when an error is returned, see [`TracedConnection::call_with`]. The call of a handler ends when the
/// handler returns.
pub struct Call {
    connection: TracedConnection,
    key: StreamKey,
    kind: Kind,
    method: Option<String>,
    context: OtelContext,
    incoming: bool,
    registered: bool,
    on_drop: OnDrop,
    /// The reader has been told why nothing more comes.
    told: bool,
}

/// What dropping a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDrop {
    Leave,
    Cancel,
    /// The task that runs the handler ends the call.
    Nothing,
}

/// The stream metrics of both directions of a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallMetrics {
    /// Away from this side.
    pub sent: Summary,
    /// To this side.
    pub received: Summary,
}

/// What a call is, apart from its connection.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) key: StreamKey,
    pub(super) kind: Kind,
    pub(super) method: Option<String>,
    pub(super) context: OtelContext,
    pub(super) incoming: bool,
    pub(super) registered: bool,
}

impl Call {
    pub(super) fn new(connection: TracedConnection, call: Described, on_drop: OnDrop) -> Self {
        let Described {
            key,
            kind,
            method,
            context,
            incoming,
            registered,
        } = call;
        Self {
            connection,
            key,
            kind,
            method,
            context,
            incoming,
            registered,
            on_drop,
            told: false,
        }
    }

    /// The method, if one was named.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Call or transfer.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the peer made the call.
    #[must_use]
    pub fn is_incoming(&self) -> bool {
        self.incoming
    }

    /// Whether this side registered the method that the peer named.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// The context that holds the call's span.
    #[must_use]
    pub fn context(&self) -> &OtelContext {
        &self.context
    }

    /// The connection of the call.
    #[must_use]
    pub fn connection(&self) -> &TracedConnection {
        &self.connection
    }

    /// The stream metrics so far; complete once the call has ended.
    #[must_use]
    pub fn metrics(&self) -> CallMetrics {
        let (sent, received) = self.connection.metrics_of(self.key);
        CallMetrics { sent, received }
    }

    /// Sends a message. Waits while the transport has too much to write.
    ///
    /// # Errors
    ///
    /// `closed`, `cancelled`, `remote`, `timeout`, `overflow`, `superseded`, `role` if the call has ended so;
    /// `invalid_state` if my direction has ended; `invalid_argument` or `limit` for headers that cannot be sent.
    pub async fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), Error> {
        self.connection
            .send_on(self.key, message.into(), false, &self.context)
            .await
    }

    /// Sends the last message of my direction.
    ///
    /// # Errors
    ///
    /// As [`Call::send`].
    pub async fn send_last<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), Error> {
        self.connection
            .send_on(self.key, message.into(), true, &self.context)
            .await
    }

    /// Ends my direction. Doing so again does nothing.
    ///
    /// # Errors
    ///
    /// As [`Call::send`].
    pub async fn end(&self) -> Result<(), Error> {
        self.connection.end_on(self.key, &self.context).await
    }

    /// The next message of the other direction; `None` when that is complete. An error says why the call ended before, and
    /// is followed by `None`.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        if self.told {
            return None;
        }
        let next = self.connection.next_on(self.key).await;
        self.told = !matches!(next, Some(Ok(_)));
        next
    }

    /// The messages of the other direction as a stream, for its combinators. It attaches nothing, and can be dropped and made
    /// again at any time.
    pub fn messages(&mut self) -> impl Stream<Item = Result<Message, Error>> + Send + '_ {
        stream::unfold(self, |call| async { Some((call.next().await?, call)) })
    }

    /// Cancels the call: both directions end, and it is no error.
    pub fn cancel(&mut self) {
        let key = self.key;
        self.connection
            .finish(|core, now_ns| core.cancel(key, now_ns));
    }

    /// Ends the call with an error type, the bare name of what failed.
    pub fn fail(&mut self, error_type: &str) {
        let key = self.key;
        self.connection
            .finish(|core, now_ns| core.fail(key, error_type, now_ns));
    }

    /// As [`Call::fail`], and records the error as an event of the call's span.
    pub fn fail_with(&mut self, failure: &Failure) {
        self.context.span().record_error(failure.error());
        self.fail(failure.error_type());
    }

    /// Leaves the call: my direction ends, and what is still to come of the other is abandoned.
    pub fn leave(&mut self) {
        let key = self.key;
        self.connection
            .finish(|core, now_ns| core.leave(key, now_ns));
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("method", &self.method)
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::Nothing => return,
            _ if std::thread::panicking() => self.fail(ErrorKind::Panic.name()),
            OnDrop::Leave => self.leave(),
            OnDrop::Cancel => self.cancel(),
        }
        self.connection.forget(self.key);
    }
}

/// One-way data under a PRODUCER span. Dropping it ends it.
#[derive(Debug)]
pub struct Transfer(Call);

impl Transfer {
    pub(super) fn new(call: Call) -> Self {
        Self(call)
    }

    /// The method, if one was named.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.0.method()
    }

    /// The context that holds the transfer's span.
    #[must_use]
    pub fn context(&self) -> &OtelContext {
        self.0.context()
    }

    /// The stream metrics so far; complete once the transfer has ended.
    #[must_use]
    pub fn metrics(&self) -> Summary {
        self.0.metrics().sent
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// As [`Call::send`].
    pub async fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), Error> {
        self.0.send(message).await
    }

    /// Sends the last message, which ends the transfer.
    ///
    /// # Errors
    ///
    /// As [`Call::send`].
    pub async fn send_last<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), Error> {
        self.0.send_last(message).await
    }

    /// Ends the transfer.
    ///
    /// # Errors
    ///
    /// As [`Call::send`].
    pub async fn end(&self) -> Result<(), Error> {
        self.0.end().await
    }

    /// Cancels the transfer; it is no error.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }

    /// Ends the transfer with an error type.
    pub fn fail(&mut self, error_type: &str) {
        self.0.fail(error_type);
    }
}

impl TracedConnection {
    /// Runs `function` with a new call, inside the call's context: its span is the current one there and nowhere else. The
    /// call ends as the function does: normally, or with the error's type. Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// Those of [`TracedConnection::call`], and whatever the function returns.
    pub async fn call_with<'m, T, E>(
        &self,
        method: impl Into<Option<&'m str>>,
        function: impl AsyncFnOnce(&mut Call) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error> + 'static,
    {
        use opentelemetry::trace::FutureExt;
        let mut call = self.call(method)?;
        call.on_drop = OnDrop::Cancel;
        let context = call.context.clone();
        let result = function(&mut call).with_context(context).await;
        match &result {
            Ok(_) => call.leave(),
            Err(error) => call.fail(&error_type(error)),
        }
        result
    }
}

/// The error type that stands for an error on the wire and on spans.
pub(super) fn error_type<E: 'static>(error: &E) -> String {
    let any: &dyn Any = error;
    if let Some(error) = any.downcast_ref::<Error>() {
        return error.kind().name().to_owned();
    }
    if let Some(failure) = any.downcast_ref::<Failure>() {
        return failure.error_type().to_owned();
    }
    bare_type_name(std::any::type_name::<E>()).to_owned()
}

/// The name of a type without path and parameters. A boxed error no longer knows its own.
fn bare_type_name(name: &'static str) -> &'static str {
    if name.contains("dyn ") {
        return wire_error::HANDLER;
    }
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_type_is_the_bare_name_of_a_type_or_the_kind_of_our_own_errors() {
        assert_eq!(error_type(&std::fmt::Error), "Error");
        assert_eq!(
            error_type(&"x".parse::<u32>().unwrap_err()),
            "ParseIntError"
        );
        assert_eq!(error_type(&Error::new(ErrorKind::Timeout, "")), "timeout");
        assert_eq!(
            error_type(&Failure::new("out_of_stock", "no dough")),
            "out_of_stock"
        );
        let boxed: Box<dyn std::error::Error> = "x".into();
        assert_eq!(error_type(&boxed), "handler");
        assert_eq!(bare_type_name("a::b::Wrapped<c::D>"), "Wrapped");
    }
}
