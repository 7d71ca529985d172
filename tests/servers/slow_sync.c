/* A library for LD_PRELOAD that delays fsync() and fdatasync() as a control file says.
 *
 * The environment variable SLOW_SYNC names the control file, which has two 64-bit integers: the
 * microseconds to wait before each sync, or -1 to hold it until the number changes; and whether to
 * record the old contents of PostgreSQL's log at each write that isn't synced yet. The records are
 * in the file with the suffix ".lost", as struct lost followed by the old bytes: with them, a test
 * can simulate a power failure. Only one process at a time writes and syncs the log.
 *
 * Writes with O_DSYNC (wal_sync_method = open_datasync) don't call a sync function. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t delay;
    int64_t noting;
};

struct lost {
    int64_t offset;
    int64_t size;
    char path[240];
};

static struct control *control;
static int notes = -1;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void prepare(void) {
    const char *path = getenv("SLOW_SYNC");
    char lost[4096];
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    real_pwrite = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (file < 0)
        return;
    void *place = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    snprintf(lost, sizeof lost, "%s.lost", path);
    notes = open(lost, O_RDWR | O_APPEND | O_CLOEXEC);
    if (place != MAP_FAILED)
        control = place;
}

static int64_t delay(void) {
    return __atomic_load_n(&control->delay, __ATOMIC_SEQ_CST);
}

/* Sleep until an absolute time, because the signals between a server's processes interrupt a sleep. */
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
    while (control && delay() < 0)
        pause_for(200);
    errno = error;
}

/* Return whether a file is a segment of the log, not a future one; store its path in the record. */
static int is_log(int file, struct lost *note) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    memset(note, 0, sizeof *note);
    if (!control || !control->noting || readlink(link, note->path, sizeof note->path - 1) < 0)
        return 0;
    return strstr(note->path, "/pg_wal/") && !strstr(note->path, "/xlogtemp");
}

static void note_old_bytes(int file, size_t size, off_t offset) {
    struct lost note;
    int error = errno;
    if (is_log(file, &note)) {
        char *old = calloc(1, size);
        note.offset = offset;
        note.size = size;
        struct iovec both[] = {{&note, sizeof note}, {old, size}};
        if (!old || pread(file, old, size, offset) < 0 || writev(notes, both, 2) < 0)
            abort();
        free(old);
    }
    errno = error;
}

static int synced(int file, int result) {
    struct lost note;
    int error = errno;
    if (result == 0 && is_log(file, &note) && ftruncate(notes, 0) < 0)
        abort();
    errno = error;
    return result;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off_t offset) {
    note_old_bytes(file, size, offset);
    return real_pwrite(file, bytes, size, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset) {
    return pwrite64(file, bytes, size, offset);
}

int fsync(int file) {
    wait_as_told();
    return synced(file, real_fsync(file));
}

int fdatasync(int file) {
    wait_as_told();
    return synced(file, real_fdatasync(file));
}
