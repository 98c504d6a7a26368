/** `bench FILE [SIZE…]`: measures everything and writes the rows of the report. */
package dev.wirespan.bench

import com.fasterxml.jackson.databind.ObjectMapper
import java.io.File

// A mebibyte unread pauses reading (SPEC FL-1), and here one thread receives and reads.
private val SIZES = listOf(64, 256, 4096, 65_536, 1_048_575)

fun main(arguments: Array<String>) {
    val sizes = arguments.drop(1).map(String::toInt).ifEmpty { SIZES }
    val rows = Rows()
    Parts(rows).measure()
    Messages(rows).measure(sizes)
    ObjectMapper().writerWithDefaultPrettyPrinter().writeValue(File(arguments[0]), rows.all)
}
