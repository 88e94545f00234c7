/* Stands in for an Exim process that things go wrong for: loads the library as Exim does, calls it
 * as a script on standard input says, and shows what came back and what was logged.
 *
 *   call FUNCTION ARGUMENT...     prints "= STATUS [YIELD]"
 *   child COMMAND...              the command is done by a forked child, as one SMTP session is;
 *                                 prints "child exited N" or "child killed N"
 *   failing FIRST LAST COMMAND... the command, while allocations FIRST to LAST (counted from 1)
 *                                 fail; prints "allocations N" after it
 *   limit files|memory N          the soft limit of open files, or of mapped bytes, is N; -1 is the
 *                                 hard one
 *
 * An argument is written in hexadecimal with a leading x. Each log line comes as "log: TEXT". */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int function(unsigned char **, int, unsigned char **);

unsigned host_checking;
unsigned debug_selector;

void log_write(unsigned selector, int flags, const char *format, ...)
{
  va_list arguments;
  printf("log: ");
  if (selector != 0 || flags != 1)
    printf("(selector %u, flags %d) ", selector, flags);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

/* Counts what is allocated by anybody in this process, and refuses it where that was ordered. */
static unsigned long allocations, first_failing = -1UL, last_failing = -1UL;
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static int is_refused(void)
{
  allocations++;
  return allocations >= first_failing && allocations <= last_failing;
}
void *malloc(size_t size) { return is_refused() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return is_refused() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return is_refused() ? NULL : __libc_realloc(old, size); }
void *aligned_alloc(size_t align, size_t size)
{
  return is_refused() ? NULL : __libc_memalign(align, size);
}
int posix_memalign(void **result, size_t align, size_t size)
{
  *result = is_refused() ? NULL : __libc_memalign(align, size);
  return *result ? 0 : 12;
}

static void fail(const char *what, const char *which)
{
  fprintf(stderr, "caller: %s: %s\n", what, which ? which : "(none)");
  _exit(99);
}

static char *next_word(void)
{
  char *word = strtok(NULL, " \n");
  if (!word)
    fail("command", "a word is missing");
  return word;
}

/* "x6162" -> "ab", in place. */
static unsigned char *decoded(char *text)
{
  unsigned char *out = (unsigned char *)text;
  unsigned value;
  for (char *in = text + 1; sscanf(in, "%2x", &value) == 1; in += 2)
    *out++ = (unsigned char)value;
  *out = 0;
  return (unsigned char *)text;
}

static void limit(void)
{
  int what = strcmp(next_word(), "files") == 0 ? RLIMIT_NOFILE : RLIMIT_AS;
  long value = atol(next_word());
  struct rlimit both;
  if (getrlimit(what, &both) != 0)
    fail("limit", "getrlimit");
  both.rlim_cur = value < 0 ? both.rlim_max : (rlim_t)value;
  if (setrlimit(what, &both) != 0)
    fail("limit", "setrlimit");
}

static void call(void *library)
{
  unsigned char *arguments[8] = { 0 }, *yield = (unsigned char *)"unset";
  char *name = next_word(), *word;
  int count = 0, status;
  function *called = (function *)dlsym(library, name);
  if (!called)
    fail("no such function", name);
  while (count < 7 && (word = strtok(NULL, " \n")))
    arguments[count++] = decoded(word);
  status = called(&yield, count, arguments);
  first_failing = last_failing = -1UL;
  printf("= %d [%s]\n", status, yield ? (char *)yield : "(null)");
}

/* Does what the word and the rest of its line say. */
static void obey(char *word, void *library)
{
  if (strcmp(word, "call") == 0)
    call(library);
  else if (strcmp(word, "limit") == 0)
    limit();
  else if (strcmp(word, "child") == 0) {
    int how = 0;
    pid_t child = fork();
    if (child == 0) {
      alarm(120);
      obey(next_word(), library);
      fflush(stdout);
      _exit(0);
    }
    waitpid(child, &how, 0);
    printf(WIFSIGNALED(how) ? "child killed %d\n" : "child exited %d\n",
           WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
  } else if (strcmp(word, "failing") == 0) {
    unsigned long first = strtoul(next_word(), NULL, 10), last = strtoul(next_word(), NULL, 10);
    char *command = next_word();
    allocations = 0;
    first_failing = first;
    last_failing = last;
    obey(command, library);
    printf("allocations %lu\n", allocations);
  } else
    fail("no such command", word);
}

int main(int argc, char **argv)
{
  static char line[1 << 16], buffer[1 << 16];
  void *library;
  if (argc != 2)
    fail("give the library's path", argv[0]);
  library = dlopen(argv[1], RTLD_LAZY);
  if (!library)
    fail("dlopen", dlerror());
  alarm(120); /* a call that hangs fails its test */
  setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
  while (fgets(line, sizeof line, stdin)) {
    char *word = strtok(line, " \n");
    if (word)
      obey(word, library);
  }
  fflush(stdout);
  _exit(0);
}
