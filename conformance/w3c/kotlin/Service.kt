/** The Kotlin service under W3C's trace-context suite; conformance/w3c/README.md says what it does. */
package dev.wirespan.w3c

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import dev.wirespan.Propagator
import dev.wirespan.core.Body
import dev.wirespan.core.Envelope
import dev.wirespan.core.Recognition
import dev.wirespan.core.SpanContext
import dev.wirespan.core.Unwrapped
import dev.wirespan.core.unwrap
import dev.wirespan.core.wrap
import io.opentelemetry.api.trace.SpanKind
import io.opentelemetry.context.Context
import io.opentelemetry.context.propagation.TextMapGetter
import io.opentelemetry.sdk.trace.SdkTracerProvider
import java.net.InetSocketAddress
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.util.concurrent.Executors
import kotlin.system.exitProcess

private val JSON = ObjectMapper()
private val propagator = Propagator()
private val tracer = SdkTracerProvider.builder().build().get("w3c")
private val client = HttpClient.newHttpClient()

private object Fields : TextMapGetter<Map<String, List<String>>> {
    override fun keys(carrier: Map<String, List<String>>): Iterable<String> = carrier.keys

    override fun get(carrier: Map<String, List<String>>?, key: String): String? = getAll(carrier, key).asSequence().firstOrNull()

    override fun getAll(carrier: Map<String, List<String>>?, key: String): Iterator<String> =
        carrier!!.filterKeys { it.equals(key, ignoreCase = true) }.values.flatten().iterator()
}

private fun inject(context: Context): Map<String, String> =
    LinkedHashMap<String, String>().also { headers -> propagator.inject(context, headers) { carrier, name, value -> carrier!![name] = value } }

/** Sends a context and a body through an envelope. */
private fun forward(context: Context, body: ByteArray, binary: Boolean): Pair<Context, ByteArray> {
    val headers = inject(context)
    val span = headers["traceparent"]?.let { SpanContext(it, headers["tracestate"] ?: "") }
    val content = if (binary) Body.Binary(body) else Body.Text(String(body))
    val wrapped = wrap(Envelope(body = content, span = span, baggage = headers["baggage"]))
    val read = unwrap(wrapped.bytes, wrapped.text, Recognition.CANONICAL)
    check(read is Unwrapped.Enveloped) { "not read as an envelope: $read" }
    val fields =
        mapOf("traceparent" to read.envelope.span?.traceparent, "tracestate" to read.envelope.span?.tracestate, "baggage" to read.envelope.baggage)
    val given = fields.filterValues { !it.isNullOrEmpty() }.mapValues { listOf(it.value!!) }
    val delivered =
        when (val read = read.envelope.body) {
            is Body.Json -> read.value
            is Body.Binary -> read.value
            is Body.Text -> read.value.toByteArray()
            is Body.Absent -> ByteArray(0)
        }
    return propagator.extract(Context.root(), given, Fields) to delivered
}

private fun callsOf(body: ByteArray): List<Pair<URI, JsonNode>> {
    val list = JSON.readTree(body)
    require(list.isArray) { "not a list" }
    return list.map { URI(it["url"].textValue()).also { uri -> require(uri.isAbsolute) } to it["arguments"]!! }
}

private fun <T> inSpan(kind: SpanKind, parent: Context, act: (Context) -> T): T {
    val span = tracer.spanBuilder("POST").setSpanKind(kind).setParent(parent).startSpan()
    try {
        return act(parent.with(span))
    } finally {
        span.end()
    }
}

private fun call(context: Context, url: URI, arguments: JsonNode) {
    val request = HttpRequest.newBuilder(url).header("content-type", "application/json")
    inject(context).forEach(request::header)
    client.send(request.POST(HttpRequest.BodyPublishers.ofString(arguments.toString())).build(), HttpResponse.BodyHandlers.discarding())
}

/** Calls what the request lists, with the context that came with it. */
private fun handle(exchange: HttpExchange, through: String) {
    var body = exchange.requestBody.readAllBytes()
    var context = propagator.extract(Context.root(), exchange.requestHeaders, Fields)
    if (through != "direct") forward(context, body, through == "binary").let { (read, delivered) -> context = read; body = delivered }
    val calls =
        try {
            callsOf(body)
        } catch (_: Exception) {
            return answer(exchange, 400, "not a list of {url, arguments}")
        }
    inSpan(SpanKind.SERVER, context) { served ->
        for ((url, arguments) in calls) inSpan(SpanKind.CLIENT, served) { call(it, url, arguments) }
    }
    exchange.responseHeaders["content-type"] = "application/json"
    answer(exchange, 200, """{"calls":${calls.size}}""")
}

private fun answer(exchange: HttpExchange, status: Int, text: String) {
    exchange.sendResponseHeaders(status, text.length.toLong())
    exchange.responseBody.use { it.write(text.toByteArray()) }
}

fun main(arguments: Array<String>) {
    val through = arguments.getOrNull(1) ?: "direct"
    require(through in listOf("direct", "text", "binary")) { "no such way: $through" }
    val server = HttpServer.create(InetSocketAddress("127.0.0.1", 0), 0)
    server.executor = Executors.newCachedThreadPool()
    server.createContext("/") { exchange ->
        try {
            handle(exchange, through)
        } catch (error: Exception) {
            error.printStackTrace()
            exchange.sendResponseHeaders(500, -1)
        }
        exchange.close()
    }
    server.start()
    println("listening on ${server.address.port}")
    // No service outlives who started it.
    while (System.`in`.read() >= 0) Unit
    exitProcess(0)
}
