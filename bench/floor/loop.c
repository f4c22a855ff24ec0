// The bare loop: loop N PARALLEL PROGRAM forks, executes and waits for a program N times, so many at once. It prints the
// nanoseconds that this took.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void start(char **argv) {
	pid_t child = fork();
	if (child < 0) exit(1);
	if (child == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	int n = atoi(argv[1]), parallel = atoi(argv[2]), started = 0, status;
	char *program[] = {argv[3], NULL};
	long long began = now();
	for (; started < n && started < parallel; started++) start(program);
	for (int ended = 0; ended < n; ended++) {
		if (wait(&status) < 0 || status != 0) return 1;
		if (started < n) {
			start(program);
			started++;
		}
	}
	printf("%lld\n", now() - began);
	return 0;
}
