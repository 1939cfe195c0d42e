"""One self-contained HTML page on one or several runs, and the same as figures for papers. `build.write_report`."""
