/* Stands in for Exim: loads the library as Exim does, calls it as a script on standard input says,
 * and shows what came back and what was logged.
 *
 * Built with -DWITHOUT_EXIM it exports nothing of Exim's, and so is any other C program.
 *
 *   call FUNCTION ARGUMENT...   prints "FUNCTION STATUS [YIELD]"
 *   argc N FUNCTION ARGUMENT... the same, but with N as the number of arguments
 *   null FUNCTION               with neither a place for the yield nor arguments
 *   repeat N FUNCTION ARGUMENT... N times; prints the allocations and the last yield
 *   checking 0|1                sets host_checking
 *   debugging 0|1               sets debug_selector
 *   fork                        the rest of the script is done by a child
 *
 * An argument is written in hexadecimal with a leading x, or "null"; the script is written by a
 * program. Each log line comes as "log: TEXT", each debugging line as "debug: TEXT". */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int function(unsigned char **, int, unsigned char **);

#ifndef WITHOUT_EXIM
unsigned host_checking;
unsigned debug_selector;

void log_write(unsigned selector, int flags, const char *format, ...)
{
  va_list arguments;
  printf("log: ");
  if (selector != 0 || flags != 1)
    printf("(selector %u, flags %d) ", selector, flags);
  if (strcmp(format, "%s") != 0)
    printf("(format %s) ", format);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

void debug_printf(const char *format, ...)
{
  va_list arguments;
  printf("debug: ");
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
}
#endif

/* Counts what is allocated by anybody in this process. */
static unsigned long allocations;
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t size) { allocations++; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { allocations++; return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { allocations++; return __libc_realloc(old, size); }
void *aligned_alloc(size_t align, size_t size) { allocations++; return __libc_memalign(align, size); }
int posix_memalign(void **result, size_t align, size_t size)
{
  allocations++;
  *result = __libc_memalign(align, size);
  return *result ? 0 : 12;
}

static void fail(const char *what, const char *which)
{
  fprintf(stderr, "driver: %s: %s\n", what, which);
  _exit(99);
}

static function *look_up(void *library, const char *name)
{
  function *found = (function *)dlsym(library, name);
  if (!found)
    fail("no such function", name ? name : "(none)");
  return found;
}

/* "x6162" -> "ab", in place; "null" -> NULL. */
static unsigned char *decoded(char *text)
{
  unsigned char *out = (unsigned char *)text;
  unsigned value;
  if (strcmp(text, "null") == 0)
    return NULL;
  for (char *in = text + 1; sscanf(in, "%2x", &value) == 1; in += 2)
    *out++ = (unsigned char)value;
  *out = 0;
  return (unsigned char *)text;
}

int main(int argc, char **argv)
{
  static char line[1 << 20];
  static char before[] = "unset";
  void *library;
  if (argc != 2)
    fail("give the library's path", argv[0]);
  library = dlopen(argv[1], RTLD_LAZY);
  if (!library)
    fail("dlopen", dlerror());
  alarm(60); /* a call that hangs fails its test */
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);

  while (fgets(line, sizeof line, stdin)) {
    char *word = strtok(line, " \n");
    unsigned char *arguments[16] = { 0 };
    unsigned char *yield = (unsigned char *)before;
    int count = 0, given = -1, status = 0;
    unsigned long repeat = 1, allocated;
    const char *name;
    function *called;

    if (!word)
      continue;
    if (strcmp(word, "fork") == 0) {
      pid_t child = fork();
      int how = 0;
      if (child == 0) {
        alarm(60);
        continue;
      }
      waitpid(child, &how, 0);
      _exit(WIFEXITED(how) ? WEXITSTATUS(how) : 98);
    }
#ifndef WITHOUT_EXIM
    if (strcmp(word, "checking") == 0) {
      host_checking = (unsigned)atoi(strtok(NULL, " \n"));
      continue;
    }
    if (strcmp(word, "debugging") == 0) {
      debug_selector = (unsigned)atoi(strtok(NULL, " \n"));
      continue;
    }
#endif
    if (strcmp(word, "null") == 0) {
      name = strtok(NULL, " \n");
      printf("%s %d\n", name, look_up(library, name)(NULL, 0, NULL));
      continue;
    }
    if (strcmp(word, "argc") == 0)
      given = atoi(strtok(NULL, " \n"));
    else if (strcmp(word, "repeat") == 0)
      repeat = strtoul(strtok(NULL, " \n"), NULL, 10);
    else if (strcmp(word, "call") != 0)
      fail("no such command", word);
    name = strtok(NULL, " \n");
    called = look_up(library, name);
    while (count < 16 && (word = strtok(NULL, " \n")))
      arguments[count++] = decoded(word);
    allocated = allocations;
    for (unsigned long i = 0; i < repeat && status == 0; i++)
      status = called(&yield, given < 0 ? count : given, arguments);
    allocated = allocations - allocated;
    if (repeat > 1)
      printf("allocations %lu\n", allocated);
    printf("%s %d [%s]\n", name, status, yield ? (char *)yield : "(null)");
  }
  fflush(stdout);
  _exit(0);
}
