// Nothing is here. That there is such a file lets exec_fork_linux.go declare functions of the runtime without a body, on
// machines that have no other.
