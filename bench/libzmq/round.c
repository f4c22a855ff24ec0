// The round trip of libzmq's own REQ and ROUTER, in two processes: round ENDPOINT N BYTES curve|null. It prints the median
// and the 99th percentile in nanoseconds.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static char server_public[41], server_secret[41], client_public[41], client_secret[41];

static void must(int ok, const char *what) {
	if (!ok) {
		fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
		exit(1);
	}
}

static void echo(const char *endpoint, int curve) {
	void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_ROUTER);
	int one = 1;
	if (curve) {
		zmq_setsockopt(s, ZMQ_CURVE_SERVER, &one, sizeof one);
		must(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, server_secret, 41) == 0, "key");
	}
	must(zmq_bind(s, endpoint) == 0, "bind");
	for (;;) {
		zmq_msg_t m;
		zmq_msg_init(&m);
		must(zmq_msg_recv(&m, s, 0) >= 0, "receive");
		must(zmq_msg_send(&m, s, zmq_msg_more(&m) ? ZMQ_SNDMORE : 0) >= 0, "send");
	}
}

static int later(const void *a, const void *b) {
	long long x = *(const long long *)a, y = *(const long long *)b;
	return x < y ? -1 : x > y;
}

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	int n = atoi(argv[2]), bytes = atoi(argv[3]), curve = !strcmp(argv[4], "curve");
	if (curve) {
		must(zmq_curve_keypair(server_public, server_secret) == 0, "keys");
		must(zmq_curve_keypair(client_public, client_secret) == 0, "keys");
	}
	pid_t child = fork();
	if (child == 0) echo(argv[1], curve);
	void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_REQ);
	if (curve) {
		must(zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server_public, 41) == 0, "key");
		must(zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, client_public, 41) == 0, "key");
		must(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, client_secret, 41) == 0, "key");
	}
	must(zmq_connect(s, argv[1]) == 0, "connect");
	char *body = calloc(bytes, 1);
	long long *took = calloc(n, sizeof *took);
	for (int i = -n / 10; i < n; i++) {
		long long began = now();
		must(zmq_send(s, body, bytes, 0) >= 0, "send");
		must(zmq_recv(s, body, bytes, 0) >= 0, "receive");
		if (i >= 0) took[i] = now() - began;
	}
	qsort(took, n, sizeof *took, later);
	printf("%lld %lld\n", took[n / 2], took[n * 99LL / 100]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}
