/* SPDX-License-Identifier: Apache-2.0
 *
 * Moves the wall clock of the process that preloads it: by the milliseconds in the file that CHAOS_CLOCK names, as an int64_t.
 *
 * The file is mapped, so a change counts at once, for waits until a time of day too, as it does where an administrator sets the
 * clock. CLOCK_MONOTONIC does not move. libfaketime is not used: with the monotonic clock left alone its 0.9.10 fails every
 * time.sleep() of Python (clock_nanosleep until a time), and it does not know cnd_timedwait, in which librdkafka waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define LOOK (SECOND / 10) /* how often a wait looks whether the clock was moved */
#define UPTIME 500000000   /* seconds that no machine runs: what is less is a time of CLOCK_MONOTONIC */

static const volatile int64_t *moved_ms;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("CHAOS_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *moved_ms, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) abort(); /* a clock that does not move would pass in silence */
    close(file);
    moved_ms = map;
}

static int64_t moved(void) { return moved_ms ? *moved_ms * 1000000 : 0; }
static int64_t number(const struct timespec *at) { return at->tv_sec * SECOND + at->tv_nsec; }
static struct timespec spec(int64_t at) { return (struct timespec){at / SECOND, at % SECOND}; }

static int64_t now(void) {
    struct timespec real;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    return number(&real) + moved();
}

/* The real time of `wanted`, or of the next look where that is earlier. */
static struct timespec piece(const struct timespec *wanted) {
    int64_t left = number(wanted) - now();
    return spec(now() - moved() + (left < LOOK ? left : LOOK));
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, at);
    *at = spec(now());
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    int64_t is = now();
    *at = (struct timeval){is / SECOND, is % SECOND / 1000};
    return 0;
}

time_t time(time_t *at) {
    time_t is = now() / SECOND;
    if (at) *at = is;
    return is;
}

int timespec_get(struct timespec *at, int base) {
    *at = spec(now());
    return base;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    if (until->tv_sec < UPTIME) return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, until);
    struct timespec look = piece(until);
    int said = pthread_cond_clockwait(cond, mutex, CLOCK_REALTIME, &look);
    return said == ETIMEDOUT && now() < number(until) ? 0 : said; /* to be woken without a reason is allowed */
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    switch (pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until)) {
        case 0: return thrd_success;
        case ETIMEDOUT: return thrd_timedout;
        default: return thrd_error;
    }
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until) {
    for (;;) {
        struct timespec look = piece(until);
        if (sem_clockwait(sem, CLOCK_REALTIME, &look) == 0) return 0;
        if (errno != ETIMEDOUT || now() >= number(until)) return -1;
    }
}
