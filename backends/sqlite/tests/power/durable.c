/* For LD_PRELOAD: a disk that keeps only what was synced.
 *
 * fsync() and fdatasync() copy the file, if it is in the folder of the variable DISK, into the
 * folder of the variable DURABLE: that is what a loss of power leaves for sure. */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int keep(int file) {
    const char *disk = getenv("DISK"), *durable = getenv("DURABLE");
    char name[64], path[PATH_MAX], whole[2 * PATH_MAX], copy[sizeof whole + 4], buffer[1 << 16];
    ssize_t length;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    length = readlink(name, path, sizeof path - 1);
    if (!disk || !durable || length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, disk, strlen(disk)))
        return 0;
    snprintf(whole, sizeof whole, "%s%s", durable, strrchr(path, '/'));
    snprintf(copy, sizeof copy, "%s.new", whole);
    int from = open(path, O_RDONLY), to = open(copy, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (from < 0 || to < 0)
        return -1;
    while ((length = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)length) != length)
            return -1;
    close(from);
    close(to);
    return rename(copy, whole);
}

int fsync(int file) { return keep(file); }

int fdatasync(int file) { return keep(file); }
