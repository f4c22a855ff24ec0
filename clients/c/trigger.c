/* trigger: start a run of a workflow and wait for its end, in C with libzmq 4.2 or later.
 *
 *     cc -o trigger trigger.c -lzmq
 *     ./trigger ipc:///run/cdktr/cdktr.sock etl.daily day=2026-01-31
 *     CDKTR_CREDENTIAL=ci.cred ./trigger tcp://hub:5561 etl.daily
 *
 * The id of the run goes to standard output. Exit codes: 0 it succeeded, 1 it did not, 2 bad usage, 3 no principal, 5 refused.
 * The protocol is described in docs/protocol.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { SIZE = 1 << 20 }; /* no frame is longer */
static const char *endpoint;
static void *context;
static size_t length;
static char request[SIZE], reply[SIZE + 1], serverKey[41], publicKey[41], secretKey[41];

/* credential reads the three keys of the file that cdktr authorize --new has made. */
static int credential(const char *file) {
	char line[256];
	FILE *f = fopen(file, "r");
	if (!f) return 0;
	while (fgets(line, sizeof line, f)) {
		sscanf(line, " server-key = \"%40[^\"]", serverKey);
		sscanf(line, " public-key = \"%40[^\"]", publicKey);
		sscanf(line, " secret-key = \"%40[^\"]", secretKey);
	}
	fclose(f);
	return strlen(serverKey) == 40 && strlen(publicKey) == 40 && strlen(secretKey) == 40;
}

/* ask sends the request over a new connection, which leaves nothing behind of an earlier one, and wants the reply within
 * so many milliseconds. */
static int ask(int patience) {
	int none = 0, n, heartbeat = 5000;
	void *socket = zmq_socket(context, ZMQ_REQ);
	zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
	zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
	zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &heartbeat, sizeof heartbeat);
	if (*serverKey) {
		zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, serverKey, 41);
		zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, publicKey, 41);
		zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secretKey, 41);
	}
	n = zmq_connect(socket, endpoint);
	if (n == 0) n = zmq_send(socket, request, strlen(request), 0);
	if (n >= 0) n = zmq_recv(socket, reply, SIZE, 0);
	reply[n < 0 ? 0 : n < SIZE ? n : SIZE] = 0;
	zmq_close(socket);
	return n >= 0;
}

/* add puts text at the end of the request, where it fits. */
static void add(const char *text) {
	size_t n = strlen(text);
	if (length + n >= SIZE) {
		fprintf(stderr, "trigger: the parameters are too long\n");
		exit(2);
	}
	memcpy(request + length, text, n + 1);
	length += n;
}

/* quote adds the first n bytes of a text as a JSON string. */
static void quote(const char *text, size_t n) {
	char one[8];
	add("\"");
	for (; n > 0; text++, n--) {
		sprintf(one, strchr("\"\\", *text) || (unsigned char)*text < ' ' ? "\\u%04x" : "%c", (unsigned char)*text);
		add(one);
	}
	add("\"");
}

/* field copies the text behind the first "name":" of the reply. Within a JSON string a quote has a \ in front of it: so
 * this cannot be output that looks like a field. */
static int field(const char *name, char *to, size_t size) {
	char *at = strstr(reply, name), *end = at ? strchr(at += strlen(name), '"') : NULL;
	if (!end || (size_t)(end - at) >= size) return 0;
	memcpy(to, at, end - at);
	to[end - at] = 0;
	return 1;
}

int main(int argc, char **argv) {
	char run[64] = "", state[64] = "", *file = getenv("CDKTR_CREDENTIAL"), *equals;
	int i, tries = 3;
	if (argc < 3) return fprintf(stderr, "usage: trigger ENDPOINT WORKFLOW [NAME=VALUE...]\n"), 2;
	if (file && *file && !credential(file)) return fprintf(stderr, "trigger: %s is not a credential\n", file), 2;
	endpoint = argv[1];
	context = zmq_ctx_new();

	/* The key makes it harmless to ask again after a reply that got lost. */
	length = sprintf(request, "{\"v\":1,\"id\":\"1\",\"op\":\"run\",\"key\":\"c-%ld-%ld\",\"workflow\":", (long)time(NULL), (long)getpid());
	quote(argv[2], strlen(argv[2]));
	for (i = 3; i < argc; i++) {
		if (!(equals = strchr(argv[i], '='))) return fprintf(stderr, "trigger: %s: want NAME=VALUE\n", argv[i]), 2;
		add(i == 3 ? ",\"params\":{" : ",");
		quote(argv[i], equals - argv[i]);
		add(":");
		quote(equals + 1, strlen(equals + 1));
	}
	add(argc > 3 ? "}}" : "}");
	while (!ask(5000))
		if (--tries == 0) return fprintf(stderr, "trigger: nobody answers at %s\n", endpoint), 3;
	if (!field("\"run\":\"", run, sizeof run)) return fprintf(stderr, "trigger: %s\n", reply), 5;
	puts(run);
	fflush(stdout);

	/* A principal that was started anew does not know that we wait: ask again from time to time. */
	sprintf(request, "{\"v\":1,\"id\":\"2\",\"op\":\"wait\",\"run\":\"%s\"}", run);
	while (!ask(5000) || strstr(reply, "\"error\":{\"code\":\"stopping\"")) sleep(1);
	if (!field("\"state\":\"", state, sizeof state)) return fprintf(stderr, "trigger: %s\n", reply), 5;
	fprintf(stderr, "run %s %s\n", run, state);
	return strcmp(state, "succeeded") != 0 && strcmp(state, "skipped") != 0;
}
