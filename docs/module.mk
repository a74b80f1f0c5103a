# The manual: Markdown pages and the comments of public headers, by Doxygen. A warning is an error.

docs: ## the manual, build/docs/html/index.html
	@$(deps) docs
	@mkdir -p $(build)/docs
	{ cat docs/Doxyfile; echo 'OUTPUT_DIRECTORY = $(build)/docs'; echo 'PROJECT_NUMBER = $(commit)'; \
	    echo 'USE_MDFILE_AS_MAINPAGE = $(CURDIR)/README.md'; } | doxygen -
	@echo 'the manual is $(build)/docs/html/index.html'
