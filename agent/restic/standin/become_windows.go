package standin

import "errors"

func become(string, []string, []string) error {
	return errors.New("no program becomes another on Windows")
}
