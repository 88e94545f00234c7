/* Stands in for Exim: loads the library as Exim's daemon does, opens the table, and forks children
 * that write.
 *
 *   writer LIBRARY [TALLY ROWS KEYS]
 *
 * Commands come on standard input, one a line, words without blanks in them; each is answered by
 * one line.
 *
 *   clock SECONDS          the library's time stands still there; 0: the real time
 *   call FUNCTION ARG...   calls here: "done STATUS WALL-NS CPU-NS LOGGED [YIELD]"
 *   repeat N FUNCTION ARG...
 *   step FUNCTION ARG...   a child that stops itself to be traced, calls, and exits: "child PID"
 *   hammer ROW SEED KIND   a child that writes without end and keeps a tally: "child PID"
 *
 * Children are made with CLONE_PARENT: their parent is the test, which can trace and reap them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef int function(unsigned char **, int, unsigned char **);

/* What Exim exports and the library looks for. */
unsigned host_checking;
unsigned debug_selector;
static int logged;

void log_write(unsigned selector, int flags, const char *format, ...)
{
  char line[1024];
  va_list arguments;
  int length;
  (void)selector;
  (void)flags;
  logged++;
  va_start(arguments, format);
  length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2)
    length = sizeof line - 2;
  line[length++] = '\n';
  if (write(2, line, (size_t)length) < 0) /* at once, or a kill would leave half a line */
    _exit(98);
}

void debug_printf(const char *format, ...)
{
  (void)format;
}

/* The library's clock: it takes this function instead of libc's, for the main program comes first
 * when names are looked up. A clock that stands still lets the same call take the same
 * instructions each time. */
static time_t standing;

time_t time(time_t *out)
{
  struct timespec now;
  time_t seconds = standing;
  if (!seconds) {
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    seconds = now.tv_sec;
  }
  if (out)
    *out = seconds;
  return seconds;
}

static void fail(const char *what, const char *which)
{
  fprintf(stderr, "writer: %s: %s\n", what, which ? which : "?");
  _exit(99);
}

static void *library;

static function *look_up(const char *name)
{
  function *found = name ? (function *)dlsym(library, name) : NULL;
  if (!found)
    fail("no such function", name);
  return found;
}

static uint64_t nanoseconds(clockid_t clock)
{
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The child's sibling of fork(2). */
static pid_t sibling(void)
{
  return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

/* Which keys are hammered how: see field.rs, which reads the same numbers. */
enum { EXACT = 4, CHURNED = 60, REASONS = 8, EXACT_MOST = 200000, WINDOW = 8 };

struct tally {
  _Atomic uint64_t epoch;
  uint64_t room[7];
};

static struct tally *tally;
static _Atomic uint32_t *begun, *acknowledged;
static _Atomic uint64_t *current; /* a row each: the key at work, plus one */
static unsigned long rows, keys;

static void map_tally(const char *path)
{
  size_t size = sizeof(struct tally) + rows * 8 + keys * 8;
  int file = open(path, O_RDWR);
  char *start = file < 0 ? MAP_FAILED
                         : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (start == MAP_FAILED)
    fail("cannot map the tally", path);
  tally = (struct tally *)start;
  current = (_Atomic uint64_t *)(start + sizeof(struct tally));
  begun = (_Atomic uint32_t *)(current + rows);
  acknowledged = begun + keys;
}

static uint32_t draw(uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (uint32_t)(*state >> 32);
}

/* Key number to address; the upper half of the churned keys are IPv6. */
static void address(char *text, unsigned long key, int churn)
{
  if (churn && key >= EXACT + CHURNED / 2)
    sprintf(text, "2001:db8:%lx::1", key);
  else
    sprintf(text, "45.%lu.%lu.%lu", key >> 16, key >> 8 & 255, key & 255);
}

static void hammer(unsigned long row, uint64_t seed, int churn)
{
  function *record = look_up("rbl_record"), *allow = look_up("rbl_allow");
  function *forgive = look_up("rbl_forgive");
  char ip[64], reason[64], number[16];
  unsigned char *yield = NULL;
  unsigned char *arguments[3] = { (unsigned char *)ip, (unsigned char *)reason,
                                  (unsigned char *)number };
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(600);
  setpriority(PRIO_PROCESS, 0, 5); /* who kills and who checks gets his turn */
  for (unsigned long calls = 0;; calls++) {
    uint32_t dice = draw(&seed) % 64;
    unsigned long key;
    int is_exact = !churn || dice < 8;
    if (!churn)
      key = atomic_load(&tally->epoch) * WINDOW + draw(&seed) % WINDOW;
    else
      key = is_exact ? draw(&seed) % EXACT : EXACT + draw(&seed) % CHURNED;
    if (is_exact && (key >= keys || atomic_load(&begun[key]) >= EXACT_MOST)) {
      usleep(100); /* nothing left to do for this key */
      continue;
    }
    if (calls % 64 == 63)
      usleep(draw(&seed) % 1000); /* bursts: the killed one must get a turn to die */
    address(ip, key, churn);
    sprintf(reason, "c%lu", key % REASONS);
    sprintf(number, "%lu", is_exact ? 1 : 101 + key);
    atomic_store(&current[row], key + 1);
    if (is_exact) {
      atomic_fetch_add(&begun[key], 1);
      record(&yield, 3, arguments);
      atomic_fetch_add(&acknowledged[key], 1);
    } else if (dice < 44) {
      if (dice < 12)
        sprintf(reason, "new-%u-a-name-of-three-words", draw(&seed) % 64);
      record(&yield, 3, arguments);
    } else if (dice < 56) {
      forgive(&yield, 1, arguments);
    } else {
      strcpy(reason, dice < 60 ? "7" : "0");
      allow(&yield, 2, arguments);
    }
    atomic_store(&current[row], 0);
  }
}

int main(int argc, char **argv)
{
  static char line[4096];
  if (argc != 2 && argc != 5)
    fail("give the library's path", argv[0]);
  library = dlopen(argv[1], RTLD_LAZY);
  if (!library)
    fail("dlopen", dlerror());
  if (argc == 5) {
    rows = strtoul(argv[3], NULL, 10);
    keys = strtoul(argv[4], NULL, 10);
    map_tally(argv[2]);
  }
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
  alarm(1200);

  while (fgets(line, sizeof line, stdin)) {
    unsigned char *arguments[8] = { 0 };
    unsigned char *yield = NULL;
    char *word = strtok(line, " \n");
    unsigned long repeat = 1;
    uint64_t wall, cpu;
    function *called;
    int count = 0, status = 0, is_step;
    pid_t child;

    if (!word)
      continue;
    if (strcmp(word, "clock") == 0) {
      standing = (time_t)strtoull(strtok(NULL, " \n"), NULL, 10);
      printf("ok\n");
      continue;
    }
    if (strcmp(word, "hammer") == 0) {
      unsigned long row = strtoul(strtok(NULL, " \n"), NULL, 10);
      uint64_t seed = strtoull(strtok(NULL, " \n"), NULL, 10);
      int churn = strcmp(strtok(NULL, " \n"), "churn") == 0;
      child = sibling();
      if (child == 0)
        hammer(row, seed, churn);
      printf("child %d\n", (int)child);
      continue;
    }
    is_step = strcmp(word, "step") == 0;
    if (strcmp(word, "repeat") == 0)
      repeat = strtoul(strtok(NULL, " \n"), NULL, 10);
    else if (!is_step && strcmp(word, "call") != 0)
      fail("no such command", word);
    called = look_up(strtok(NULL, " \n"));
    while (count < 7 && (word = strtok(NULL, " \n")))
      arguments[count++] = (unsigned char *)word;
    if (is_step) {
      child = sibling();
      if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
          _exit(92);
        alarm(60); /* one that hangs fails its test */
        kill(getpid(), SIGSTOP);
        status = called(&yield, count, arguments);
        _exit(status != 0 ? 90 : logged ? 91 : 0);
      }
      printf("child %d\n", (int)child);
      continue;
    }
    logged = 0;
    wall = nanoseconds(CLOCK_MONOTONIC);
    cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned long i = 0; i < repeat && status == 0; i++)
      status = called(&yield, count, arguments);
    cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    wall = nanoseconds(CLOCK_MONOTONIC) - wall;
    printf("done %d %lu %lu %d [%s]\n", status, (unsigned long)wall, (unsigned long)cpu, logged,
           yield ? (char *)yield : "");
  }
  _exit(0);
}
