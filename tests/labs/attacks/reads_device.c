/* Lets the compiler read a file that has no end. */
#include "/dev/zero"
