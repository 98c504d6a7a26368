package dev.wirespan

import dev.wirespan.core.CoreException
import dev.wirespan.core.InternalException

/** What went wrong, in the terms a caller can act on; the same kinds in every language. */
enum class ErrorKind {
    INVALID_ARGUMENT,
    INVALID_STATE,
    MALFORMED,
    LIMIT,
    BUSY,
    CLOSED,
    CANCELLED,
    REMOTE,
    TIMEOUT,
    OVERFLOW,
    ROLE,
    SUPERSEDED,
    IO,
    PANIC,
    ;

    /** The name used on every page and in every language, such as `invalid_argument`. */
    val label: String = name.lowercase()

    internal companion object {
        fun of(label: String): ErrorKind = entries.find { it.label == label } ?: PANIC
    }
}

/** An error of Wirespan: its kind, the field it concerns and, for refused bytes, the reason and the byte offset. */
class WirespanException
    @JvmOverloads
    constructor(
        val kind: ErrorKind,
        message: String,
        /** The header, argument or option that the error concerns. */
        val field: String? = null,
        /** Why bytes were refused, such as `zero_id`. */
        val reason: String? = null,
        /** The offset of the first byte that was refused. */
        val offset: Long? = null,
        /** For a call that the peer failed: the type of its error. */
        val errorType: String? = null,
        cause: Throwable? = null,
    ) : RuntimeException(message, cause)

/** Calls the core; its errors come out as [WirespanException]. */
internal inline fun <T> core(call: () -> T): T =
    try {
        NativeLibrary.ensure()
        call()
    } catch (error: CoreException) {
        throw error.toPublic()
    } catch (error: InternalException) {
        throw WirespanException(ErrorKind.PANIC, "panic: ${error.message}", cause = error)
    }

@PublishedApi
internal fun CoreException.toPublic(): WirespanException {
    fun make(
        kind: String,
        detail: String,
        field: String?,
        reason: String?,
        offset: Long?,
    ) = WirespanException(ErrorKind.of(kind), detail, field, reason, offset, cause = this)
    return when (this) {
        is CoreException.InvalidArgument -> make(kind, detail, field, reason, offset)
        is CoreException.InvalidState -> make(kind, detail, field, reason, offset)
        is CoreException.Malformed -> make(kind, detail, field, reason, offset)
        is CoreException.Limit -> make(kind, detail, field, reason, offset)
        is CoreException.Busy -> make(kind, detail, field, reason, offset)
        is CoreException.Closed -> make(kind, detail, field, reason, offset)
        is CoreException.Cancelled -> make(kind, detail, field, reason, offset)
        is CoreException.Remote -> make(kind, detail, field, reason, offset)
        is CoreException.Timeout -> make(kind, detail, field, reason, offset)
        is CoreException.Overflow -> make(kind, detail, field, reason, offset)
        is CoreException.Role -> make(kind, detail, field, reason, offset)
        is CoreException.Superseded -> make(kind, detail, field, reason, offset)
        is CoreException.Io -> make(kind, detail, field, reason, offset)
        is CoreException.Panic -> make(kind, detail, field, reason, offset)
    }
}
