package dev.wirespan

import dev.wirespan.core.OptionSetting
import dev.wirespan.core.OptionValue
import dev.wirespan.core.Resumption
import java.time.Duration
import dev.wirespan.core.Options as CoreOptions

/**
 * The options of a connection, by their names in SPEC.md, chapter "Options": `Options.DEFAULT.with("trust", "link")`.
 *
 * Names, words and bounds are the core's, which checks them when a connection is made.
 */
class Options private constructor(
    /** The options as the sans-IO connection takes them. */
    val core: CoreOptions,
) {
    /** Sets an option whose value is a word. */
    fun with(name: String, value: String): Options = with(name, OptionValue.Text(value))

    /** Sets an option that is on or off. */
    fun with(name: String, value: Boolean): Options = with(name, OptionValue.Flag(value))

    /** Sets an option that is a count or a number of bytes. */
    fun with(name: String, value: Long): Options = with(name, OptionValue.Number(value))

    /** Sets an option that is a time span. */
    fun with(name: String, value: Duration): Options = with(name, OptionValue.Number(value.toNanos()))

    /** Sets an option that is a list of names. */
    fun with(name: String, value: List<String>): Options = with(name, OptionValue.Names(value))

    /** Continues the session of an earlier connection: `options.resuming(earlier.resumption)`. */
    fun resuming(earlier: Resumption): Options = Options(core.copy(resume = earlier))

    private fun with(name: String, value: OptionValue): Options =
        Options(core.copy(settings = core.settings.filter { it.name != name } + OptionSetting(name, value)))

    companion object {
        /** Every option as the specification has it. */
        @JvmField
        val DEFAULT = Options(CoreOptions())
    }
}
