/* The target of bench.http_clients: a single-threaded HTTP/1.1 server on epoll that answers every request with the
 * same small JSON. It is in C so that the client under measurement is the bottleneck, not the target.
 *
 * Prints its port on a line of its own; ends when its standard input does.
 * Understands exactly what the clients send: a head up to an empty line, a body by content-length, no pipelining.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MAX_FD 4096
#define ROOM 16384

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: target\r\n"
    "date: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 28\r\n\r\n"
    "{\"id\":\"c-1\",\"status\":\"done\"}";

static char *buffers[MAX_FD];
static int filled[MAX_FD];

/* Bytes of the request at the start of the buffer, 0 while it is not whole. */
static int whole(const char *data, int size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    int head = (int)(end - data) + 4, body = 0;
    for (const char *line = data; line < end; line++)
        if (*line == '\n' && !strncasecmp(line + 1, "content-length:", 15)) body = atoi(line + 16);
    return head + body <= size ? head + body : 0;
}

static void forget(int fd) {
    free(buffers[fd]);
    buffers[fd] = NULL;
    close(fd);
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 512)) return 1;
    getsockname(listener, (void *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);

    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) return 0;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client < 0) continue;
                if (client >= MAX_FD) { close(client); continue; }
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                buffers[client] = malloc(ROOM);
                filled[client] = 0;
                event.data.fd = client;
                epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
                continue;
            }
            int got = (int)read(fd, buffers[fd] + filled[fd], ROOM - filled[fd]);
            if (got <= 0) { forget(fd); continue; }
            filled[fd] += got;
            int used = whole(buffers[fd], filled[fd]);
            if (used) {
                filled[fd] -= used;
                memmove(buffers[fd], buffers[fd] + used, filled[fd]);
                if (write(fd, ANSWER, sizeof ANSWER - 1) != sizeof ANSWER - 1) forget(fd);
            } else if (filled[fd] == ROOM) {
                forget(fd);
            }
        }
    }
}
