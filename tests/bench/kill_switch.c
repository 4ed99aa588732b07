/* Kills the process at a chosen write to files of one folder. Preloaded by tests/bench/kills.py.
 *
 * arm(n, how, folder): at the n-th call that changes a file below folder the process ends by
 * SIGKILL: how 0 before the call, 1 in the middle of what is written, 2 after it. n 0 only counts.
 * made(): how many such calls there were.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long wanted, count;
static int style;
static char below[4096];

void arm(long n, int how, const char *folder) {
    style = how;
    wanted = n;
    __atomic_store_n(&count, 0, __ATOMIC_SEQ_CST);
    strncpy(below, folder, sizeof below - 1);
}

long made(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int hit(int ours) {
    return ours && __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) == wanted;
}

static int path_hit(const char *path) {
    return hit(below[0] && !strncmp(path, below, strlen(below)));
}

static int fd_hit(int fd) {
    char link[64], path[4096];
    if (!below[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return path_hit(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRITES(name, parameters, all, half)      \
    ssize_t name parameters {                    \
        if (!fd_hit(fd)) return REAL(name) all;  \
        if (style == 1) REAL(name) half;         \
        if (style == 2) REAL(name) all;          \
        end();                                   \
        return -1;                               \
    }

WRITES(write, (int fd, const void *from, size_t size), (fd, from, size), (fd, from, size / 2))
WRITES(pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at),
       (fd, from, size / 2, at))
WRITES(pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at),
       (fd, from, size / 2, at))
WRITES(writev, (int fd, const struct iovec *from, int size), (fd, from, size),
       (fd, from, size / 2))

#define CHANGES(name, parameters, all, is_hit)   \
    int name parameters {                        \
        if (!(is_hit)) return REAL(name) all;    \
        if (style == 2) REAL(name) all;          \
        end();                                   \
        return -1;                               \
    }

CHANGES(fsync, (int fd), (fd), fd_hit(fd))
CHANGES(fdatasync, (int fd), (fd), fd_hit(fd))
CHANGES(ftruncate, (int fd, off_t size), (fd, size), fd_hit(fd))
CHANGES(ftruncate64, (int fd, off64_t size), (fd, size), fd_hit(fd))
CHANGES(rename, (const char *from, const char *to), (from, to), path_hit(to))
CHANGES(unlink, (const char *path), (path), path_hit(path))
CHANGES(rmdir, (const char *path), (path), path_hit(path))
CHANGES(mkdir, (const char *path, mode_t mode), (path, mode), path_hit(path))
