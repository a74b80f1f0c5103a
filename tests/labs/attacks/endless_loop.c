/* Never answers. */
__attribute__((constructor)) static void attack(void)
{
    for (volatile int i = 0;; i++)
        ;
}
