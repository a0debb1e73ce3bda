/* Load on an HTTP server that costs little: GETs of small slices at random over some connections.

   load PORT CONNECTIONS SECONDS PATH HOST_ACCEPT_HEADERS SIZE
   PATH is a format with two pairs of numbers, the bounds of a slice of 10 x 10 out of SIZE x SIZE.
   It prints requests, errors, seconds, and the microseconds of the median, p99 and the slowest. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
#define BUFFER 65536
#define TIMES (1 << 22)

struct connection { int fd; double sent; long have, need; char buffer[BUFFER]; };
static struct connection *all;
static float *times;
static long count, errors;
static const char *form, *headers;
static int size, port;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void ask(struct connection *c) {
    char target[512], request[2048];
    int i = rand() % (size - 10), j = rand() % (size - 10);
    snprintf(target, sizeof target, form, i, i + 10, j, j + 10);
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n%s\r\n", target, headers);
    c->have = c->need = 0;
    c->sent = now();
    if (write(c->fd, request, length) != length) errors++;
}

static int open_one(int epoll, int n) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct connection *c = &all[n];
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (void *)&to, sizeof to)) return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = n};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    ask(c);
    return 0;
}

static int take(struct connection *c) { /* 1: answered, 0: more to come, -1: broken */
    long got = read(c->fd, c->buffer + c->have, BUFFER - 1 - c->have);
    if (got <= 0) return -1;
    c->have += got;
    if (!c->need) {
        c->buffer[c->have] = 0;
        char *end = strstr(c->buffer, "\r\n\r\n"), *length = strstr(c->buffer, "content-length: ");
        if (!end) return 0;
        if (!length || length > end) return -1;
        if (strncmp(c->buffer, "HTTP/1.1 200", 12)) errors++;
        c->need = end + 4 - c->buffer + atol(length + 16);
        if (c->need >= BUFFER) return -1;
    }
    return c->have >= c->need;
}

static int compare(const void *a, const void *b) {
    return (*(float *)a > *(float *)b) - (*(float *)a < *(float *)b);
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    port = atoi(argv[1]);
    int connections = atoi(argv[2]);
    double seconds = atof(argv[3]);
    form = argv[4], headers = argv[5], size = atoi(argv[6]);
    if (connections < 1 || connections > MOST || size < 11) return 2;
    all = calloc(connections, sizeof *all);
    times = malloc(TIMES * sizeof *times);
    int epoll = epoll_create1(0);
    for (int n = 0; n < connections; n++)
        if (open_one(epoll, n)) return perror("connect"), 1;
    double began = now(), until = began + seconds, at = began;
    struct epoll_event ready[256];
    while ((at = now()) < until) {
        int found = epoll_wait(epoll, ready, 256, 100);
        for (int n = 0; n < found; n++) {
            struct connection *c = &all[ready[n].data.u32];
            int done = take(c);
            if (done < 0) {
                errors++;
                close(c->fd);
                if (open_one(epoll, ready[n].data.u32)) return perror("connect"), 1;
            } else if (done) {
                if (count < TIMES) times[count] = now() - c->sent;
                count++;
                ask(c);
            }
        }
    }
    long kept = count < TIMES ? count : TIMES;
    qsort(times, kept, sizeof *times, compare);
    if (!kept) return 1;
    printf("%ld %ld %.3f %.0f %.0f %.0f\n", count, errors, at - began, times[kept / 2] * 1e6,
           times[(long)(kept * 0.99)] * 1e6, times[kept - 1] * 1e6);
    return 0;
}
