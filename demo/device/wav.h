/* Reads recordings: 16 kHz, mono, signed 16-bit little-endian PCM. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_WAV_H
#define DEVICE_WAV_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wav {
  unsigned char *file;          /* the whole file */
  const unsigned char *samples; /* within it */
  size_t length;                /* of the samples, in bytes */
} wav;

/* Reads a file; false, and a line in `problem` that says what is wrong with it, if it is no such recording. */
bool wav_read(const char *path, wav *recording, char *problem, size_t problem_size);

void wav_free(wav *recording);

#endif
