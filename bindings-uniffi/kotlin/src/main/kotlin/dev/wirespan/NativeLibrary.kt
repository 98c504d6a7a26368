package dev.wirespan

import com.sun.jna.Platform

/** The native library inside the jar, in a folder for each platform. */
internal object NativeLibrary {
    private const val OVERRIDE = "uniffi.component.wirespan.libraryOverride"

    /** Its name or its file, as JNA takes it. */
    val name: String
        get() = System.getProperty(OVERRIDE) ?: "wirespan_uniffi"

    // Looked at once; what is missing is said at every use, since the first one may be one whose error nobody sees.
    private val missing: String? = missingFor(Platform.RESOURCE_PREFIX)

    /** Throws [WirespanException] of kind IO, before anything is loaded, where there is no library for this platform. */
    fun ensure() {
        if (missing != null) throw WirespanException(ErrorKind.IO, missing)
    }

    /** What to say where the jar holds nothing for a platform and no other library is named. */
    private fun missingFor(platform: String): String? {
        if (System.getProperty(OVERRIDE) != null) return null
        val file = "$platform/${System.mapLibraryName("wirespan_uniffi")}"
        if (NativeLibrary::class.java.classLoader.getResource(file) != null) return null
        return "io: this wirespan.jar has no native library for the platform $platform (no $file in it). " +
            "Build it with 'cargo build --release -p wirespan-uniffi' and name its file by the system property $OVERRIDE."
    }
}
