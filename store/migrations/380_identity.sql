-- +goose Up
-- Which identity of the control plane the host uses: the generation of the CA that
-- signed the certificate it showed last. All hosts of before use the first one.
ALTER TABLE hosts ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
