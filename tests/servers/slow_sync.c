/* For LD_PRELOAD: fsync() and fdatasync() take as long as a file says, which may change meanwhile.
 *
 * SLOW_SYNC names the file, of two 64-bit integers: the microseconds to wait before each sync, or
 * -1 to hold it until the number changes; and how many have been held, which is added to. What a process
 * writes with O_DSYNC (wal_sync_method = open_datasync) calls neither function. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t delay;
    int64_t held;
};

static struct control *control;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void prepare(void) {
    const char *path = getenv("SLOW_SYNC");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (file < 0)
        return;
    void *place = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED)
        control = place;
}

static int64_t delay(void) {
    return __atomic_load_n(&control->delay, __ATOMIC_SEQ_CST);
}

/* Until a moment, for the signals by which a server's processes wake each other end each sleep. */
static void pause_for(int64_t microseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += microseconds % 1000000 * 1000;
    until.tv_sec += microseconds / 1000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static void wait_as_told(void) {
    int error = errno;
    if (control && delay() > 0)
        pause_for(delay());
    if (control && delay() < 0) {
        __atomic_add_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
        while (delay() < 0)
            pause_for(200);
    }
    errno = error;
}

int fsync(int file) {
    wait_as_told();
    return real_fsync(file);
}

int fdatasync(int file) {
    wait_as_told();
    return real_fdatasync(file);
}
