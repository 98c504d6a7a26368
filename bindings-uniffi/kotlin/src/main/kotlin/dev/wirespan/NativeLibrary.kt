package dev.wirespan

import com.sun.jna.Platform

/** The native library inside the jar, in a folder for each platform. */
internal object NativeLibrary {
    private const val OVERRIDE = "uniffi.component.wirespan.libraryOverride"

    init {
        check(Platform.RESOURCE_PREFIX)
    }

    /** Says what is missing before anything is loaded; done once. */
    fun ensure() = Unit

    /** Throws [WirespanException] of kind IO where the jar holds nothing for a platform and no other library is named. */
    fun check(platform: String) {
        if (System.getProperty(OVERRIDE) != null) return
        val file = "$platform/${System.mapLibraryName("wirespan_uniffi")}"
        if (NativeLibrary::class.java.classLoader.getResource(file) != null) return
        throw WirespanException(
            ErrorKind.IO,
            "io: this wirespan.jar has no native library for the platform $platform (no $file in it). " +
                "Build it with 'cargo build --release -p wirespan-uniffi' and name its file by the system property $OVERRIDE.",
        )
    }
}
