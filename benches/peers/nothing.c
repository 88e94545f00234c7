/* The least that ${dlfunc} can call: what calling costs, whoever is called. */
static unsigned char empty[1];

int nothing(unsigned char **yield, int argc, unsigned char *argv[])
{
    (void)argc;
    (void)argv;
    *yield = empty;
    return 0; /* OK */
}
