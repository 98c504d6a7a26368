/* See wav.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wav.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Half an hour of speech. */
#define MAX_FILE_BYTES (64L * 1024 * 1024)

static uint32_t little32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t little16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

static unsigned char *read_file(const char *path, size_t *length, char *problem, size_t size) {
  unsigned char *bytes = NULL;
  long end = -1;
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    snprintf(problem, size, "cannot open %s: %s", path, strerror(errno));
    return NULL;
  }
  if (fseek(file, 0, SEEK_END) == 0) end = ftell(file);
  if (end < 0 || fseek(file, 0, SEEK_SET) != 0) {
    snprintf(problem, size, "%s is no file that can be read", path);
  } else if (end > MAX_FILE_BYTES) {
    snprintf(problem, size, "%s is too long: at most half an hour of speech can be sent", path);
  } else if ((bytes = malloc((size_t)end + 1)) == NULL) {
    snprintf(problem, size, "there is no memory for %s", path);
  } else if (fread(bytes, 1, (size_t)end, file) != (size_t)end) {
    snprintf(problem, size, "%s cannot be read: %s", path, errno != 0 ? strerror(errno) : "it became shorter");
    free(bytes);
    bytes = NULL;
  } else {
    *length = (size_t)end;
  }
  fclose(file);
  return bytes;
}

static bool check_format(const char *path, const unsigned char *format, size_t length, char *problem, size_t size) {
  uint16_t coding, channels, bits;
  uint32_t rate;
  if (length < 16) {
    snprintf(problem, size, "%s is no WAV file: its format is cut off", path);
    return false;
  }
  coding = little16(format);
  channels = little16(format + 2);
  rate = little32(format + 4);
  bits = little16(format + 14);
  /* The extensible format names the coding further behind. */
  if (coding == 0xFFFE && length >= 26) coding = little16(format + 24);
  if (coding != 1 || channels != 1 || rate != 16000 || bits != 16) {
    snprintf(problem, size,
             "%s is not 16 kHz mono 16-bit PCM: it has %lu Hz, %u channel%s, %u bits, coding %u "
             "(convert it: sox IN.wav -r 16000 -c 1 -b 16 OUT.wav)",
             path, (unsigned long)rate, (unsigned)channels, channels == 1 ? "" : "s", (unsigned)bits, (unsigned)coding);
    return false;
  }
  return true;
}

bool wav_read(const char *path, wav *recording, char *problem, size_t size) {
  size_t length = 0, at = 12;
  bool has_format = false;
  unsigned char *file = read_file(path, &length, problem, size);
  memset(recording, 0, sizeof *recording);
  if (file == NULL) return false;
  if (length < 12 || memcmp(file, "RIFF", 4) != 0 || memcmp(file + 8, "WAVE", 4) != 0) {
    snprintf(problem, size, "%s is no WAV file", path);
    free(file);
    return false;
  }
  while (length - at >= 8) {
    size_t chunk = little32(file + at + 4), there = length - at - 8;
    const unsigned char *body = file + at + 8;
    bool is_data = memcmp(file + at, "data", 4) == 0;
    /* Writers that stream do not know the length of the data: it goes to the end of the file. */
    if (chunk > there) chunk = there;
    if (memcmp(file + at, "fmt ", 4) == 0) {
      if (!check_format(path, body, chunk, problem, size)) {
        free(file);
        return false;
      }
      has_format = true;
    } else if (is_data && has_format) {
      recording->file = file;
      recording->samples = body;
      recording->length = chunk - chunk % 2;
      if (recording->length > 0) return true;
      break;
    }
    at += 8 + chunk + chunk % 2;
    if (at > length) break;
  }
  snprintf(problem, size, "%s holds no speech", path);
  memset(recording, 0, sizeof *recording);
  free(file);
  return false;
}

void wav_free(wav *recording) {
  free(recording->file);
  memset(recording, 0, sizeof *recording);
}
