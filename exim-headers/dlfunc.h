/* The part of Exim's ${dlfunc} contract that eximrbl needs, declared anew.
 *
 * Nothing here depends on a version: names, types and values are the same from Exim 4.92 to 4.99.
 * tests/library compares them with the header that Debian's exim4-dev installs. */

#ifndef EXIMRBL_DLFUNC_H
#define EXIMRBL_DLFUNC_H

/* Exim's byte (`uschar`) and truth value (`BOOL`). */
typedef unsigned char exim_uschar;
typedef unsigned int exim_bool;

/* A function that ${dlfunc} may call. `argc` counts the arguments alone (not the file, nor the
 * function's name); `*yield` is the result when EXIM_OK is returned, and is copied at once. */
typedef int exim_dlfunc(exim_uschar **yield, int argc, exim_uschar *argv[]);

/* What such a function returns. All but EXIM_OK change what happens to the message. */
#define EXIM_OK 0
#define EXIM_DEFER 1
#define EXIM_FAIL 2
#define EXIM_ERROR 3
#define EXIM_FAIL_FORCED 4

/* Arguments that ${dlfunc} passes at most. With one more, `argc` is garbage (seen on 4.96). */
#define EXIM_DLFUNC_ARGUMENTS_MAX 7

/* The logs that log_write can write to; they may be added up. */
#define EXIM_LOG_MAIN 1
#define EXIM_LOG_PANIC 2
#define EXIM_LOG_REJECT 16

/* What Exim exports. Weak, so that the library also loads where there is no Exim: there the
 * addresses are null. */
extern exim_bool host_checking __attribute__((weak));
extern unsigned int debug_selector __attribute__((weak));
extern void log_write(unsigned int selector, int flags, const char *format, ...)
  __attribute__((weak, format(printf, 3, 4)));
extern void debug_printf(const char *format, ...) __attribute__((weak, format(printf, 1, 2)));

#endif
